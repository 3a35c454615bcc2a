"""A clinic's answers: question in, work, answer out. Plain records, no Flower.

Nothing that an exception says ever leaves the clinic: its text stays in a file here, and the answer names its class.
"""

import hashlib
import json
import os
import sqlite3
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clinfed import fingerprints, protocol
from clinfed.adapters.codec import WIRE_VERSION, decode, encode
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.clinic import ledger, permissions, started
from clinfed.clinic.cache import WORKER, drop, worker_cache
from clinfed.clinic.ledger import Asked, Ledger, Origin
from clinfed.clinic.policy import rounded
from clinfed.clinic.remanence import prune
from clinfed.clinic.signing import signer
from clinfed.clinic.site import PARTITION
from clinfed.corpus.splits import SPLITS
from clinfed.errors import UserError
from clinfed.home import clinic_folder
from clinfed.manifests import Manifest
from clinfed.refusals import RefusedError
from clinfed.runs.backend import Block, Content, Failed

if TYPE_CHECKING:
    from clinfed.clinic.cache import WorkerCache
    from clinfed.clinic.data import Clinic

NodeConfig = Mapping[str, Any]
UNKNOWN = Origin()


def answer(
    kind: str,
    question: Content,
    node_config: NodeConfig,
    overrides: Sequence[str],
    manifest: str = "",
    origin: Origin = UNKNOWN,
) -> Content | Failed:
    """Return the answer to a question, or the failure that may be told. Code that the site does not allow ends here.

    kind: one of protocol.HELLO, TRAIN and EVALUATE. question: its adapter is taken out of it.
    manifest: the text that came with the run (clinfed/manifests.py).
    """
    failure, work = WORK[kind]
    try:
        permissions.admit_code(node_config)
        sign = signer(node_config)  # before the work: a key that is unfit ends it here
        manifested = started.admit(node_config, overrides, manifest)
        cache = worker_cache(overrides)
        asked = dict(question[protocol.QUESTION])
        if kind != protocol.HELLO:
            started.bind(manifested, str(asked[protocol.RUN_KEY]))
        clinic = cache.clinic(node_config)
        entry = _admitted(cache, clinic, kind, question, _with_manifest(origin, manifested))
        content = work(cache, clinic, question)
        if kind == protocol.HELLO:
            started.refuse_other_bases(manifested, content[protocol.IDENTITY])
        content = sign(kind, asked, content)
        _record_answer(entry, content)
    except Exception as error:
        if PARTITION not in node_config:
            keep_refusal(error, kind, question.get(protocol.QUESTION, {}), origin)
        return failed(failure, error)
    return content


def failed(failure: protocol.Failure, error: Exception) -> Failed:
    """Return what may be told of an error that is being handled: its class, or what the site's settings refuse."""
    with suppress(OSError):  # a full disk must not turn into an exception that Flower would send
        _keep_detail(failure)
    return Failed(*permissions.said(error, failure))


def keep_refusal(error: Exception, kind: str, question: Mapping[str, Any], origin: Origin) -> None:
    """Write a real site's refusal into its ledger; nothing of other errors, and nothing where the ledger is broken."""
    if isinstance(error, RefusedError):
        with suppress(OSError, UserError, sqlite3.Error):
            Ledger().refused(error.setting, kind, question, origin)


def forget() -> None:
    """Let go of what this process has loaded for a run."""
    drop()


def _keep_detail(failure: protocol.Failure) -> None:
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{failure.name.lower()}-{os.getpid()}-{time.monotonic_ns()}.log"
    descriptor = os.open(clinic_folder("errors") / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as detail:
        detail.write(traceback.format_exc())


def _hello(cache: "WorkerCache", clinic: "Clinic", question: Content) -> Content:
    """Load everything, and say who this is and what it runs, before anything is trained."""
    prune()
    shapes = cache.shapes(len(clinic.codes))
    notes = {split: len(clinic.split(split)) for split in SPLITS}
    # What the rounds will need is encoded now, and once; the test split waits for the test evaluation.
    unrepresentable = {
        split: dict(cache.encoded(clinic, split).unrepresentable) for split in ("train", "validation") if notes[split]
    }
    held = {f"{split}_mentions": sum(len(note.spans) for note in clinic.split(split)) for split in SPLITS}
    held["train_windows"] = len(cache.encoded(clinic, "train").lengths) if notes["train"] else 0
    ours = fingerprints.of_run(cache.run, clinic.codes, shapes)
    roots = [str(fingerprints.root_of(package)) for package in fingerprints.PACKAGES] if clinic.simulated else []
    identity = _identity(clinic, question) | {f"fingerprint.{name}": value for name, value in ours.items()}
    identity |= {"roots": "\n".join(dict.fromkeys(roots)), "manifest": _to_json(clinic.manifest())}
    identity |= {"unrepresentable": _to_json(unrepresentable), "skipped": _to_json(dict(clinic.skipped))}
    counted = {f"{split}_notes": count for split, count in notes.items()} | held
    report: dict[str, float] = {**counted, "nodes": clinic.num_nodes, **_load_report(cache)}
    return {protocol.IDENTITY: identity, protocol.REPORT: report}


def _train(cache: "WorkerCache", clinic: "Clinic", question: Content) -> Content:
    """Train what was received on the clinic's notes for one round; where it is asked for, evaluate it first."""
    from clinfed.clinic.work import train_round

    begun = time.perf_counter()
    received = Payload.of(_take_adapter(question))
    decode_s = time.perf_counter() - begun
    asked = question[protocol.QUESTION]
    # Evaluated before it is trained: one exchange a round, and no worker waits while another clinic is evaluated.
    split = str(asked["split"])
    content: Content = {}
    if split and clinic.split(split):
        content = _evaluated(cache, clinic, received.adapter, split, test_evaluation=False, replicates=False)
    run_key, state_round = str(asked[protocol.RUN_KEY]), int(asked[protocol.STATE_ROUND])
    trained, payload = train_round(
        cache, clinic, received, int(asked["round"]), run_key=run_key, state_round=state_round
    )
    result = trained.result
    begun = time.perf_counter()
    content[protocol.ADAPTER] = _write_adapter(payload.flat)
    report = {
        "num_examples": result.notes,
        "loss": result.loss,
        "tokens": result.tokens,
        "padded_tokens": result.padded_tokens,
        "steps": result.steps,
        "train_s": result.seconds,
        "training_peak_bytes": trained.peak_bytes,
        "serialise_s": decode_s + time.perf_counter() - begun,
    }
    return _reported(cache, clinic, question, content, report)


def _evaluate(cache: "WorkerCache", clinic: "Clinic", question: Content) -> Content:
    """Evaluate what was received on one split of the clinic's notes."""
    asked = question[protocol.QUESTION]
    begun = time.perf_counter()
    state = _take_adapter(question)
    decode_s = time.perf_counter() - begun
    wanted = {name: bool(asked[name]) for name in ("test_evaluation", "replicates")}
    content = _evaluated(cache, clinic, state, str(asked["split"]), **wanted)
    return _reported(cache, clinic, question, content, {"serialise_s": decode_s})


WORK = {
    protocol.HELLO: (protocol.Failure.HELLO, _hello),
    protocol.TRAIN: (protocol.Failure.TRAIN, _train),
    protocol.EVALUATE: (protocol.Failure.EVALUATE, _evaluate),
}


def _with_manifest(origin: Origin, manifest: Manifest | None) -> Origin:
    """Return where a question comes from, with who has started its run, as the run's manifest says."""
    if manifest is None:
        return origin
    return replace(origin, started_by=manifest.started_by, manifest=manifest.sha256)


def _admitted(cache: "WorkerCache", clinic: "Clinic", kind: str, content: Content, origin: Origin) -> Asked | None:
    """Return the question as a real site's ledger has it now; None at a simulated clinic, which keeps no ledger.

    Raises: RefusedError for what no run asks, and for what was asked before in another way.
    """
    question, settings = content[protocol.QUESTION], ledger.settings_of(cache.run)
    greets = kind == protocol.HELLO
    if not greets:
        ledger.refuse_unknown(kind, question, cache.run.rounds)
    if clinic.simulated:
        return None
    sent = "" if greets else hashlib.sha256(content[protocol.ADAPTER][protocol.TENSORS].data).hexdigest()
    asked = Asked(
        clinic=clinic.name,
        run="" if greets else str(question[protocol.RUN_KEY]),
        kind=kind,
        round_index=0 if greets else int(question["round"]),
        split="" if greets else str(question["split"]),
        adapter=sent,
        settings=settings,
        nonce=str(question["nonce"]),
        replicates=not greets and bool(question["replicates"]),
        origin=origin,
    )
    Ledger().admit(asked, most_tests=clinic.policy.test_evaluations if clinic.policy else 0)
    return asked


def _record_answer(asked: Asked | None, content: Content) -> None:
    """Write what leaves a real site into its ledger: how many bytes and numbers, and in a hello its words."""
    if asked is None:
        return
    tensors, counts = (content.get(name, {}).values() for name in (protocol.ADAPTER, protocol.COUNTS))
    sent: dict[str, Any] = {
        "tensor_bytes": sum(len(block.data) for block in tensors),
        "counts": sum(len(block.data) // 8 for block in counts),
        "figures": dict(content[protocol.REPORT]),
    }
    if asked.kind == protocol.HELLO:
        sent["identity"] = dict(content[protocol.IDENTITY])
    Ledger().answered(asked, **sent)


def _evaluated(
    cache: "WorkerCache", clinic: "Clinic", state: AdapterState, split: str, *, test_evaluation: bool, replicates: bool
) -> Content:
    """Return counts and report of an evaluation."""
    from clinfed.clinic.work import evaluate

    evaluation = evaluate(cache, clinic, state, split, test_evaluation=test_evaluation, replicates=replicates)
    arrays, names = protocol.counts_to_wire(evaluation.counts)
    report = {
        "notes": evaluation.notes,
        "evaluate_s": evaluation.seconds,
        "lexicon_s": evaluation.lexicon_s,
        "inference_peak_bytes": evaluation.peak_bytes,
    }
    # Integers without a header of their own: the reader need parse nothing.
    counts = {
        name: Block(protocol.COUNT_KIND, protocol.COUNT_DTYPE, each.shape, each.astype(protocol.COUNT_DTYPE).tobytes())
        for name, each in arrays.items()
    }
    return {protocol.COUNTS: counts, protocol.COUNT_NAMES: dict(names), protocol.REPORT: report}


def _reported(
    cache: "WorkerCache", clinic: "Clinic", question: Content, content: Content, report: Mapping[str, float]
) -> Content:
    """Return the content with who answers and, added to its report, these figures and those of loading."""
    earlier = content.get(protocol.REPORT, {})
    figures = {**earlier, **report, **_load_report(cache)}
    reported = {protocol.REPORT: rounded(figures) if clinic.policy else figures}
    return {**content, **reported, protocol.IDENTITY: _identity(clinic, question)}


def _identity(clinic: "Clinic", question: Content) -> dict[str, str | int]:
    """Return who answers, with which code, and to which question."""
    nonce = str(question[protocol.QUESTION]["nonce"])
    return {
        "clinic": clinic.name,
        "worker": WORKER,
        "wire": WIRE_VERSION,
        "code": fingerprints.code(),
        "nonce": nonce,
    }


def _load_report(cache: "WorkerCache") -> dict[str, float]:
    return {"load_s": cache.take_load_s(), "base_loads": cache.base_loads}


def _take_adapter(question: Content) -> AdapterState:
    """Return the question's tensors, which leave the question: two copies would be held through the training."""
    received = question.pop(protocol.ADAPTER)
    return decode(received[protocol.TENSORS].data, version=int(question[protocol.QUESTION]["wire"]))


def _write_adapter(state: AdapterState) -> dict[str, Block]:
    data = encode(state)
    return {protocol.TENSORS: Block(protocol.TENSORS_KIND, protocol.TENSORS_DTYPE, (len(data),), data)}


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
