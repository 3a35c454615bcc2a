"""An error inside a clinic: its code and class travel, its text stays in a file there."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.supercore.task_identity import TaskIdentity

import client.app
import clinfed.clinic.cache
from clinfed import protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import read_state
from clinfed.backends.records import to_flower
from clinfed.clinic import answers

NOTE = "Pacient canarytext amb asma, canarypatient7, CANARYLABEL, canaryfile.ann"


# Where a note's words are at hand: reading, dealing, tagging, batching, training, saving, predicting, counting.
PLACES = {
    "clinfed.corpus.readers.jsonl.read": protocol.HELLO,
    "clinfed.clinic.data.deal": protocol.HELLO,
    "clinfed.tasks.tagging.base.tags_of": protocol.HELLO,
    "clinfed.training.loop.plan_batches": protocol.TRAIN,
    "clinfed.training.loop.learning_rate_at": protocol.TRAIN,
    "clinfed.adapters.weights.read_state": protocol.TRAIN,
    "clinfed.tasks.tagging.base.spans_of": protocol.EVALUATE,
    "clinfed.evaluation.small_cells.count_spans": protocol.EVALUATE,
}


@pytest.fixture
def ask(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that asks one simulated clinic and gives its reply."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    context = Context(
        1, 1, {"partition-id": 0, "num-partitions": 2}, RecordDict(), {"overrides": " ".join(world.overrides)}
    )

    def ask(kind: str) -> Message:
        tested = kind == protocol.EVALUATE
        question = ConfigRecord(
            {
                "round": 1,
                "split": "test" if tested else "",
                "test_evaluation": tested,
                "replicates": tested,
                "wire": WIRE_VERSION,
                "nonce": "0",
                protocol.RUN_KEY: 32 * "0",
                protocol.STATE_ROUND: 0,
            }
        )
        content = {protocol.QUESTION: question}
        if kind != protocol.HELLO:
            cache = clinfed.clinic.cache.worker_cache(world.overrides)
            codes = cache.clinic(context.node_config).codes
            tensors = answers._write_adapter(read_state(cache.tagger(len(codes))))
            content |= to_flower({protocol.ADAPTER: tensors})
        message = Message(RecordDict(content), 1, kind)
        message.metadata.__dict__["_message_id"] = "1"
        return client.app.app(message, context)

    yield ask
    monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)


@pytest.mark.parametrize("place", PLACES)
def test_no_word_of_a_note_travels_with_an_error(
    ask: Any, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if PLACES[place] != protocol.HELLO:
        assert ask(protocol.HELLO).has_content()  # loaded as in a run, so that only the place itself breaks

    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError(NOTE)

    monkeypatch.setattr(place, broken)
    reply = ask(PLACES[place])
    assert reply.has_error()
    assert reply.error.reason == "ValueError"
    assert reply.error.code in {int(each) for each in protocol.Failure}
    sent = message_to_proto(reply).SerializeToString()
    printed = "".join(capfd.readouterr()).encode()
    assert not [word for word in NOTE.split() if len(word) > 4 and word.encode() in sent + printed]
    [detail] = (tmp_path / "clinic" / "errors").iterdir()
    assert NOTE in detail.read_text("utf-8")
    assert stat.S_IMODE(detail.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "clinic").stat().st_mode) == 0o700


def test_a_clinic_that_cannot_even_write_its_log_still_says_only_the_class(
    ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(NOTE)

    monkeypatch.setattr("clinfed.clinic.data.deal", broken)
    monkeypatch.setattr("clinfed.clinic.answers.clinic_folder", broken)
    assert ask(protocol.HELLO).error.reason == "OSError"


def test_a_received_adapter_leaves_its_message() -> None:
    state = AdapterState({"head.weight": np.ones((2, 3), np.float32)})
    content = {protocol.ADAPTER: answers._write_adapter(state), protocol.QUESTION: {"wire": WIRE_VERSION}}
    assert answers._take_adapter(content).sha256() == state.sha256()
    assert protocol.ADAPTER not in content  # or a worker would hold it twice while it trains
