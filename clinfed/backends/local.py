"""Clinics that run in this process, one after another: for notebooks, debugging and tests. No Flower, no Ray."""

from collections.abc import Sequence

from clinfed.clinic import answers
from clinfed.runs.backend import Block, Content, Failed, Reply, Sent


class LocalBackend:
    """Answers each question when its answer is asked for, so that one clinic's tensors are held at a time."""

    remote = False

    def __init__(self, overrides: Sequence[str], clinics: int) -> None:
        answers.forget()  # what an earlier run in this process has loaded
        self._overrides = tuple(overrides)
        self._clinics = clinics
        self._questions: dict[str, tuple[str, Content, int]] = {}
        self._sent = 0

    def nodes(self) -> list[int]:
        """Return a node for each clinic."""
        return list(range(1, self._clinics + 1))

    def send(self, kind: str, contents: Sequence[Content], nodes: Sequence[int], *, group: str) -> Sent:
        """Keep each node's question until its answer is asked for."""
        message_ids = tuple(str(self._sent + number) for number in range(len(nodes)))
        for message_id, content, node in zip(message_ids, contents, nodes, strict=True):
            self._questions[message_id] = (kind, content, node)
        self._sent += len(nodes)
        return Sent(message_ids, max(map(size_of, contents), default=0))

    def receive(self, message_id: str, *, limit_bytes: int, until: float) -> Reply | Failed | None:
        """Return the clinic's answer, which is worked out now."""
        kind, content, node = self._questions.pop(message_id)
        node_config = {"partition-id": node - 1, "num-partitions": self._clinics}
        question = {name: dict(values) for name, values in content.items()}  # a clinic takes its adapter out of it
        answer = answers.answer(kind, question, node_config, self._overrides)
        return answer if isinstance(answer, Failed) else Reply(answer, size_of(answer))


def size_of(content: Content) -> int:
    """Return the bytes of a message: its arrays, and its other values as text."""
    values = [value for record in content.values() for value in record.values()]
    return sum(len(value.data) if isinstance(value, Block) else len(str(value)) for value in values)
