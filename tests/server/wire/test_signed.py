"""Which answers a coordinator takes that knows its sites' keys: those that each site has signed itself."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from clinfed import fingerprints, protocol, signatures
from clinfed.adapters.update import Payload
from clinfed.deploy.certificates import write_site_keys
from clinfed.errors import UserError
from clinfed.protocol import IDENTITY, REPORT, SIGNATURE, Reason, Refused
from clinfed.runs.backend import Backend, Block, Content, Reply, Sent
from server.admission import Admission
from server.registered import site_keys
from server.settings import VARIABLE, of_environment
from server.wire.exchange import Exchange
from tests.server.conftest import KEY

NAMES = [f"clinic-{number}" for number in range(1, 6)]
LIAR = "clinic-3"
PRIVATE = {name: ec.generate_private_key(ec.SECP384R1()) for name in [*NAMES, "stranger"]}
PUBLIC = {name: PRIVATE[name].public_key() for name in NAMES}
Forge = Callable[[str, Content], Content]  # (kind, signed answer of the liar) -> what arrives


class Signing:
    """Carries honest answers, each signed with the key of the clinic that it names; forge changes the liar's."""

    remote = False

    def __init__(self, inner: Backend, forge: Forge, key: str = LIAR) -> None:
        self.inner, self.forge, self.key = inner, forge, key
        self.asked: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def nodes(self) -> list[int]:
        return self.inner.nodes()

    def send(self, kind: str, contents: Sequence[Content], nodes: Sequence[int], *, group: str) -> Sent:
        sent = self.inner.send(kind, contents, nodes, group=group)
        for message_id, content in zip(sent.message_ids, contents, strict=True):
            self.asked[message_id] = kind, content[protocol.QUESTION]
        return sent

    def receive(self, message_id: str, *, limit_bytes: int, until: float) -> Any:
        reply = self.inner.receive(message_id, limit_bytes=limit_bytes, until=until)
        assert isinstance(reply, Reply)
        kind, question = self.asked[message_id]
        name = str(reply.content[IDENTITY]["clinic"])
        content = signed(reply.content, self.key if name == LIAR else name, kind, question)
        return Reply(self.forge(kind, content) if name == LIAR else content, reply.size_bytes)


def signed(content: Content, key: str, kind: str, question: Mapping[str, Any]) -> Content:
    signature = signatures.sign(PRIVATE[key], signatures.digest(kind, question, content))
    return {**content, SIGNATURE: {SIGNATURE: signature}}


def honest(kind: str, content: Content) -> Content:
    return content


def without_signature(kind: str, content: Content) -> Content:
    return {name: values for name, values in content.items() if name != SIGNATURE}


def of_another_kind(kind: str, content: Content) -> Content:
    return {**content, SIGNATURE: {SIGNATURE: "text"}}


def too_long(kind: str, content: Content) -> Content:
    return {**content, SIGNATURE: {SIGNATURE: bytes(10**6)}}


def other_figure(kind: str, content: Content) -> Content:
    return {**content, REPORT: {**content[REPORT], "load_s": 1e-9}}


def other_tensors(kind: str, content: Content) -> Content:
    old = content[protocol.ADAPTER][protocol.TENSORS]
    flipped = bytes([*old.data[:-1], old.data[-1] ^ 1])
    return {**content, protocol.ADAPTER: {protocol.TENSORS: Block(old.kind, old.dtype, old.shape, flipped)}}


def an_unsigned_list(kind: str, content: Content) -> Content:
    return {**content, REPORT: {**content[REPORT], "load_s": [1]}}


FORGED: dict[Forge, Reason] = {
    without_signature: Reason.UNSIGNED,
    of_another_kind: Reason.UNSIGNED,
    too_long: Reason.UNSIGNED,
    other_figure: Reason.OTHER_KEY,
    other_tensors: Reason.OTHER_KEY,
    an_unsigned_list: Reason.MALFORMED,
}


def exchange(table: Any, forge: Forge, key: str = LIAR) -> Exchange:
    backend = Signing(table.exchange(lambda kind, reply: reply).backend, forge, key)
    return Exchange(backend, table.run, codes=table.model.codes, code=fingerprints.code(), deadline_s=60, keys=PUBLIC)


def train(table: Any, forge: Forge, key: str = LIAR) -> list[Any]:
    handles = table.federation.with_notes("train")
    evaluating = table.federation.with_notes("validation")
    return [*exchange(table, forge, key).train(handles, Payload(table.state), 2, run_key=KEY, evaluating=evaluating)]


def test_answers_that_each_site_has_signed_are_taken(table: Any) -> None:
    assert not [reply for reply in train(table, honest) if isinstance(reply, Refused)]


@pytest.mark.parametrize("forge", FORGED, ids=lambda forge: forge.__name__)
def test_a_forged_update_is_left_out_and_named(table: Any, forge: Forge) -> None:
    replies = train(table, forge)
    assert [reply for reply in replies if isinstance(reply, Refused)] == [Refused(LIAR, FORGED[forge])]
    assert len(replies) == len(NAMES)


@pytest.mark.parametrize(("key", "reason"), [("stranger", Reason.OTHER_KEY), ("clinic-1", Reason.OTHER_NAME)])
def test_an_update_under_another_key_is_left_out(table: Any, key: str, reason: Reason) -> None:
    assert [each for each in train(table, honest, key) if isinstance(each, Refused)] == [Refused(LIAR, reason)]


def test_an_older_answer_of_the_site_itself_is_left_out(table: Any) -> None:
    kept: list[Content] = []

    def replay(kind: str, content: Content) -> Content:
        kept.append(content)
        return kept[0]

    twice = exchange(table, replay)
    handles = [handle for handle in table.federation.handles if handle.clinic == LIAR]
    evaluating = table.federation.with_notes("validation")
    for expected in (None, Reason.OTHER_KEY):
        [reply] = twice.train(handles, Payload(table.state), 2, run_key=KEY, evaluating=evaluating)
        assert (reply.reason if isinstance(reply, Refused) else None) == expected


@pytest.mark.parametrize(
    ("key", "named", "reason"),
    [("stranger", "of node", Reason.OTHER_KEY), ("clinic-1", "clinic-1", Reason.OTHER_NAME)],
)
def test_a_node_takes_no_seat_but_that_of_its_key(table: Any, key: str, named: str, reason: Reason) -> None:
    admission = Admission(exchange(table, honest, key), table.run)
    with pytest.raises(UserError, match=f"clinic {named}.*: {reason}"):
        admission.open(lambda: table.model.fingerprints)


def test_the_keys_are_those_of_the_coordinators_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for name in ("north", "south"):
        write_site_keys(tmp_path / f"{name}.key", tmp_path / f"{name}.pub")
        rows.append(f'[sites.{name}]\nkey = "{name}.pub"\n')
    (tmp_path / "coordinator.toml").write_text("".join(rows), "utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "coordinator.toml"))
    keys = site_keys(of_environment())
    own = {name: signatures.read_private(tmp_path / f"{name}.key").public_key() for name in ("north", "south")}
    assert keys == own


def test_settings_without_any_key_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert site_keys(of_environment()) == {}
    (tmp_path / "coordinator.toml").write_text("[sites.north]\nnotes = 3\n", "utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "coordinator.toml"))
    with pytest.raises(UserError, match="no site has a key"):
        site_keys(of_environment())
