"""What the site holds: base and notes. Codes and reasons are counted here, and no word of a note is named."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from clinfed.bases import Base, fingerprint, load_tokenizer, tokenizer_fingerprint
from clinfed.checks.finding import Finding, failed
from clinfed.clinic.policy import Policy, rare_codes
from clinfed.corpus import fields
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.language import EXPECTED, with_languages
from clinfed.corpus.note import Note
from clinfed.corpus.source import Corpus
from clinfed.corpus.splits import SPLITS, split_of, training_slice
from clinfed.refusals import RefusedError
from clinfed.tasks.learnable import REMEDY, any_tagged, missing
from clinfed.tasks.tagging.bio import representable

OUTSIDE = "code outside the label map"  # as clinfed/tasks/tagging/bio.py counts it
MANY_LOST = 0.05  # of all mentions; CodiEsp, with its many overlaps, loses more
NONE_LEARNT = "only where diagnoses stand is learnt; add notes, or lower small_cell_threshold in [policy]"
SHOWN = 16  # of a fingerprint's digits, as in messages of a run


def base(chosen: Base, expected: str) -> list[Finding]:
    """Return whether the run's base and its tokenizer are here. expected: the base's fingerprint, or how it begins."""
    found = fingerprint(chosen)
    load_tokenizer(chosen)
    row = f"{chosen.public_name} is here, fingerprint {found}; its tokenizer's {tokenizer_fingerprint(chosen)[:SHOWN]}"
    if not expected:
        return [Finding("base", "ok", row, "compare with the coordinator's: `clinfed check` there prints it, too")]
    if not found.startswith(expected):
        wrong = f"{chosen.folder()} has the fingerprint {found[:SHOWN]}, expected {expected[:SHOWN]}"
        return [Finding("base", "fail", wrong, "copy config.json and model*.safetensors from the coordinator again")]
    return [Finding("base", "ok", row + ", as expected")]


def labels(path: str, codes: Sequence[str]) -> Finding:
    """Return how many codes the shared list has."""
    return Finding("labels", "ok", f"{len(codes)} codes in {path or 'the public list of the corpus'}")


def notes(
    corpus: Corpus, codes: Sequence[str], small_cell_threshold: int = 0, applied: Policy | None = None
) -> list[Finding]:
    """Return how many notes can be read, of whom, in which languages, and what of them tags can hold.

    applied: the site's policy, which gets a row of its own.
    """
    careful = replace(corpus, skip_bad=True)  # one fault does not hide the others
    skipped: Counter[str] = Counter()
    held = list(with_languages(careful.notes(skipped)))
    rows = [_amount(held, corpus.path)]
    if skipped:
        rows.append(_faults(corpus, skipped))
    rows += [_patients(held, small_cell_threshold), _languages(held)]
    train = [note for note in held if split_of(note) == "train"]
    if train and not (any_tagged(train, codes) if codes else any(note.spans for note in train)):
        mentions = sum(len(note.spans) for note in train)
        found = f"no mention to learn from: {missing('this site', len(train), skipped, mentions)}"
        rows.append(Finding("mentions", "fail", found, REMEDY))
    if applied:
        rows.append(policy(applied, training_slice(train, corpus.train_fraction), codes, small_cell_threshold))
    return rows + _mentions(held, codes) if codes else rows


def policy(applied: Policy, notes: Sequence[Note], codes: Sequence[str], threshold: int) -> Finding:
    """Return which policy applies, and whether these training notes pass its floors."""
    floors = ", ".join(f"{name} {value}".lower() for name, value in asdict(applied).items())
    try:
        applied.refuse_small(notes)
    except RefusedError as refusal:
        remedy = f"add notes; or write [policy] and a lower {refusal.setting} into site.toml, if your site accepts it"
        return Finding("policy", "fail", f"{refusal.setting}: {refusal}", remedy)
    learnt = len(codes) - len(rare_codes(notes, codes, threshold))
    found = f"{floors}; {learnt} of {len(codes)} codes are of {threshold} patients or more, and are learnt here"
    return Finding("policy", "ok" if learnt or not codes else "warn", found, "" if learnt or not codes else NONE_LEARNT)


def _amount(held: Sequence[Note], path: str) -> Finding:
    splits = Counter(split_of(note) for note in held)
    found = f"{len(held)} in {Path(path)}: " + ", ".join(f"{splits[split]} {split}" for split in SPLITS)
    if not splits["train"]:
        return Finding("notes", "fail", f"{found}", "a site without training notes takes no part in a run: add some")
    if not splits["validation"] or not splits["test"]:
        return Finding(
            "notes", "warn", found, "none to evaluate the model on: more patients, or an official split, help"
        )
    return Finding("notes", "ok", found)


def _faults(corpus: Corpus, skipped: Mapping[str, int]) -> Finding:
    """Return what reading left out or merged, and the first fault, which would end a run unless skip_bad."""
    by_reason = _listed(skipped)
    try:
        for _ in replace(corpus, skip_bad=False).notes():
            pass
    except BadInputError as fault:
        first = failed("notes", fault).found
        found = f"left out, by reason: {by_reason}; first fault: {first}"
        if corpus.skip_bad:
            return Finding("faults", "warn", found, "correct the file, so that these notes can take part")
        remedy = "correct the file, or set skip_bad = true to leave such notes out; else no run starts here"
        return Finding("faults", "fail", found, remedy)
    found = f"no faulty note; left out or merged, by reason: {by_reason}"
    if any(fields.MEANT in reason for reason in skipped):
        return Finding("faults", "warn", found, "rename the ignored fields if another name is meant")
    return Finding("faults", "ok", found)


def _patients(held: Sequence[Note], small_cell_threshold: int) -> Finding:
    without = sum(not note.patient for note in held)
    found = f"{len({note.patient for note in held} - {''})}; {without} of {len(held)} notes name none"
    if without and small_cell_threshold:
        remedy = 'each such note counts as a patient: small_cell_threshold protects less; write "patient" beside it'
        return Finding("patients", "warn", found, remedy)
    return Finding("patients", "ok", found)


def _languages(held: Sequence[Note]) -> Finding:
    counts = Counter(note.language or "unknown" for note in held)
    found = _listed(counts)
    if others := sum(count for language, count in counts.items() if language not in EXPECTED):
        remedy = 'leave those notes out, or write "language" beside each where identification is wrong'
        return Finding("languages", "warn", f"{found}: {others} neither Catalan nor Spanish", remedy)
    return Finding("languages", "ok", found)


def _mentions(held: Sequence[Note], codes: Sequence[str]) -> list[Finding]:
    total = sum(len(note.spans) for note in held)
    _, unrepresentable = representable(held, codes)
    outside = unrepresentable.pop(OUTSIDE, 0)
    unknown = {span.code for note in held for span in note.spans} - set(codes)
    if not total:
        return []
    rows = [Finding("codes", "ok", f"all {total} mentions have codes of the shared list")]
    if outside:
        found = f"{outside} of {total} mentions have codes outside the shared list ({len(unknown)} different ones)"
        remedy = "they are not trained, and count as missed: correct the codes, or have the list extended for all sites"
        rows = [Finding("codes", "warn", found, remedy)]
    if not unrepresentable:
        return [*rows, Finding("spans", "ok", "tags can hold all other mentions")]
    share = unrepresentable.total() / total
    found = f"tags cannot hold {unrepresentable.total()} of {total} mentions ({share:.1%}): {_listed(unrepresentable)}"
    many = share > MANY_LOST
    return [*rows, Finding("spans", "warn" if many else "ok", found, "look at the annotation rules" if many else "")]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
