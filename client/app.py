"""The clinic's side of Flower: message -> work -> message. Nothing that an exception says ever leaves the clinic."""

import os
import shlex
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.error import Error
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from client import permission, relay
from clinfed import fingerprints, protocol
from clinfed.adapters.codec import WIRE_VERSION, decode, encode
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.corpus.splits import SPLITS
from clinfed.home import clinic_folder

if TYPE_CHECKING:  # at a real site this process only passes a message on, and must start fast
    from client.clinic import Clinic
    from client.warm import Warm


def to_the_worker(message: Message, context: Context, work_here: Callable[[Message, Context], Message]) -> Message:
    """Let the site's warm worker answer, which runs the handlers below; a simulated clinic answers in this process."""
    if not relay.is_wanted(context.node_config):
        return work_here(message, context)
    try:
        permission.admit_code(context.node_config)
        answer = relay.ask(message, context, relay.worker_of(context))
        permission.show_refusal(answer)
        return answer
    except Exception as error:
        return failed(protocol.Failure.WORKER, error, message)


app = ClientApp(mods=[to_the_worker])

Work = Callable[[Message, Context], RecordDict]


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Load everything, and say who this is and what it runs, before anything is trained."""
    return answered(protocol.Failure.HELLO, _hello, message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global adapter on the clinic's notes for one round."""
    return answered(protocol.Failure.TRAIN, _train, message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Judge the global adapter on one split of the clinic's notes."""
    return answered(protocol.Failure.EVALUATE, _evaluate, message, context)


def answered(failure: protocol.Failure, work: Work, message: Message, context: Context) -> Message:
    """Return the work's answer, or the failure's code with the exception's class; its text stays in a file here.

    Stock Flower would send the text, and a text may quote a note. Code that the site has not allowed ends here.
    """
    try:
        permission.admit_code(context.node_config)
        return Message(work(message, context), reply_to=message)
    except Exception as error:
        return failed(failure, error, message)


def failed(failure: protocol.Failure, error: Exception, message: Message) -> Message:
    """Return the answer that names the failure and the exception's class, or what the site's settings refuse.

    Called where the exception is handled.
    """
    with suppress(OSError):  # a full disk must not turn into an exception that Flower would send
        _keep_detail(failure)
    return Message(Error(*permission.said(error, failure)), reply_to=message)


def _keep_detail(failure: protocol.Failure) -> None:
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{failure.name.lower()}-{os.getpid()}-{time.monotonic_ns()}.log"
    descriptor = os.open(clinic_folder("errors") / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as detail:
        detail.write(traceback.format_exc())


def _hello(message: Message, context: Context) -> RecordDict:
    cache, clinic = _at_work(context)
    shapes = cache.shapes(len(clinic.codes))
    notes = {split: len(clinic.split(split)) for split in SPLITS}
    # What the rounds will need is encoded now, and once; the test split waits for the closing.
    lost = {split: dict(cache.encoded(clinic, split).lost) for split in ("train", "validation") if notes[split]}
    held = {f"{split}_mentions": sum(len(note.spans) for note in clinic.split(split)) for split in SPLITS}
    held["train_windows"] = len(cache.encoded(clinic, "train").lengths) if notes["train"] else 0
    ours = fingerprints.of_run(cache.run, clinic.codes, shapes)
    roots = [str(fingerprints.root_of(package)) for package in fingerprints.PACKAGES] if clinic.simulated else []
    identity = _identity(clinic, message) | {f"fingerprint.{name}": value for name, value in ours.items()}
    identity |= {"roots": "\n".join(dict.fromkeys(roots)), "manifest": _to_json(clinic.manifest())}
    identity |= {"lost": _to_json(lost), "skipped": _to_json(dict(clinic.skipped))}
    report = {f"{split}_notes": count for split, count in notes.items()} | held
    report |= {"nodes": clinic.num_nodes} | _load_report(cache)
    return RecordDict({protocol.IDENTITY: ConfigRecord(identity), protocol.REPORT: MetricRecord(report)})


def _train(message: Message, context: Context) -> RecordDict:
    from client.work import train_round

    cache, clinic = _at_work(context)
    started = time.perf_counter()
    received = Payload.of(_take_adapter(message.content))
    decode_s = time.perf_counter() - started
    question = message.content[protocol.QUESTION]
    # Judged before it is trained: one exchange a round, and no worker waits while another clinic is judged.
    split = str(question["split"])
    judges = split and clinic.split(split)
    judged = RecordDict()
    if judges:
        judged = _judged(cache, clinic, received.adapter, split, closing=False, replicates=False)
    run_key, state_round = str(question[protocol.RUN_KEY]), int(question[protocol.STATE_ROUND])
    trained, payload = train_round(
        cache, clinic, received, int(question["round"]), run_key=run_key, state_round=state_round
    )
    result = trained.result
    started = time.perf_counter()
    judged[protocol.ADAPTER] = _write_adapter(payload.flat)
    report = {
        "num_examples": result.notes,
        "loss": result.loss,
        "tokens": result.tokens,
        "padded_tokens": result.padded_tokens,
        "steps": result.steps,
        "train_s": result.seconds,
        "training_peak_bytes": trained.peak_bytes,
        "serialise_s": decode_s + time.perf_counter() - started,
    }
    return _signed(cache, clinic, message, judged, report)


def _evaluate(message: Message, context: Context) -> RecordDict:
    cache, clinic = _at_work(context)
    question = message.content[protocol.QUESTION]
    started = time.perf_counter()
    state = _take_adapter(message.content)
    decode_s = time.perf_counter() - started
    asked = {name: bool(question[name]) for name in ("closing", "replicates")}
    judged = _judged(cache, clinic, state, str(question["split"]), **asked)
    return _signed(cache, clinic, message, judged, {"serialise_s": decode_s})


def _judged(
    cache: "Warm", clinic: "Clinic", state: AdapterState, split: str, *, closing: bool, replicates: bool
) -> RecordDict:
    """Return counts and report of a judgement."""
    from client.work import judge

    judgement = judge(cache, clinic, state, split, closing=closing, replicates=replicates)
    arrays, names = protocol.counts_to_wire(judgement.counts)
    report = {
        "notes": judgement.notes,
        "evaluate_s": judgement.seconds,
        "lexicon_s": judgement.lexicon_s,
        "inference_peak_bytes": judgement.peak_bytes,
    }
    return RecordDict(
        {
            protocol.COUNTS: ArrayRecord({name: _plain(array) for name, array in arrays.items()}),
            protocol.COUNT_NAMES: ConfigRecord(dict(names)),
            protocol.REPORT: MetricRecord(report),
        }
    )


def _signed(
    cache: "Warm", clinic: "Clinic", message: Message, content: RecordDict, report: Mapping[str, float]
) -> RecordDict:
    """Return the content with who answers and, added to its report, these figures and those of loading."""
    earlier = content.get(protocol.REPORT, MetricRecord())
    content[protocol.REPORT] = MetricRecord({**earlier, **report, **_load_report(cache)})
    content[protocol.IDENTITY] = ConfigRecord(_identity(clinic, message))
    return content


def _at_work(context: Context) -> "tuple[Warm, Clinic]":
    from client.warm import warm

    cache = warm(shlex.split(str(context.run_config["overrides"])))
    return cache, cache.clinic(context.node_config)


def _identity(clinic: "Clinic", message: Message) -> dict[str, str | int]:
    """Return who answers, with which code, and to which question."""
    from client.warm import WORKER

    nonce = str(message.content[protocol.QUESTION]["nonce"])
    return {"clinic": clinic.name, "worker": WORKER, "wire": WIRE_VERSION, "code": fingerprints.code(), "nonce": nonce}


def _load_report(cache: "Warm") -> dict[str, float]:
    return {"load_s": cache.take_load_s(), "base_loads": cache.base_loads}


def _take_adapter(content: RecordDict) -> AdapterState:
    """Return the message's adapter, which leaves the message: two copies would be held through the training."""
    received = content.pop(protocol.ADAPTER)
    return decode(received[protocol.TENSORS].data, version=int(content[protocol.QUESTION]["wire"]))


def _write_adapter(state: AdapterState) -> ArrayRecord:
    data = encode(state)
    return ArrayRecord({protocol.TENSORS: Array(protocol.TENSORS_DTYPE, (len(data),), protocol.TENSORS_KIND, data)})


def _plain(array: NDArray[np.int64]) -> Array:
    """Return integers without a header of their own: the reader need parse nothing."""
    return Array(protocol.COUNT_DTYPE, array.shape, protocol.COUNT_KIND, array.astype(protocol.COUNT_DTYPE).tobytes())


def _to_json(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True)
