"""What LoRA factors alone tell of a site: which rare codes it holds, and whether a note was in its training.

python benchmarks/lora_leak.py [SITES]

Each simulated site trains the first adapter for one round of one epoch on 48 notes. The attacker has the factors that
come back, but not the head: it puts them on the base, beside the head that was sent. On public example notes it reads
how much each code's logit has moved at that code's mentions (attack 1), and how much the mention's logit has moved
(attack 2). On notes it reads how much their loss fell (attack 3). Each reading is compared with the mean over the other
sites, because some codes and notes move at every site. The AUC of a site says how probably a rare code (or a training
note) scores above an absent code (or a note of another site); .5 is chance. The interval is over sites.
"""

import os
import sys
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state, write_state
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Clinic
from clinfed.clinic.policy import Policy, rare_codes
from clinfed.clinic.work import train_round
from clinfed.corpus.note import Note
from clinfed.corpus.synthetic import codes, generate

SITES, PATIENTS, VISITS = 20, 24, 2
PUBLIC_SEED, PUBLIC_PATIENTS, PUBLIC_VISITS = 7, 30, 3
SAMPLED = 3  # training notes of each site that the third attack is tried on
CODES = tuple(codes())
RARE_BELOW = Policy().small_cell_threshold
BATCH = 64


def notes_of(seed: int, patients: int, visits: int) -> list[Note]:
    """Return the first notes of each patient, all of them for training."""
    taken: dict[str, int] = {}
    kept = []
    for note in generate(seed, patients):
        taken[note.patient] = taken.get(note.patient, 0) + 1
        if taken[note.patient] <= visits:
            kept.append(replace(note, split="train"))
    return kept


def clinic_of(name: str, notes: list[Note], policy: Policy | None) -> Clinic:
    """Return a site that holds these notes."""
    threshold = policy.small_cell_threshold if policy else 0
    return Clinic(name, notes, CODES, 1.0, small_cell_threshold=threshold, policy=policy, bootstrap_key="secret")


@torch.inference_mode()
def readings(cache: WorkerCache, rows: list[Any], state: AdapterState) -> tuple[Any, Any, Any]:
    """Return the mean logit of each code at its mentions, that of being a mention, and each row's loss.

    Shapes: (C,), (C,) and (len(rows),), not a number for a code that no row has.
    """
    tagger, task = cache.tagger(len(CODES)), cache.run.task
    write_state(tagger, state)
    tagger.eval()
    sums, seen, losses = np.zeros((2, len(CODES))), np.zeros(len(CODES)), []
    for start in range(0, len(rows), BATCH):
        batch: Any = task.collate(rows, range(start, min(start + BATCH, len(rows))), cache.tokenizer.pad_token_id)
        hidden = tagger.hidden(batch.input_ids, batch.attention_mask, batch.evaluated)
        tags, window = batch.tags[batch.evaluated], batch.evaluated.nonzero()[:, 0]
        code, kind = (tags + 1) // 2 - 1, (tags > 0) * (1 + (tags - 1) % 2)
        head: Any = tagger.head
        of_code, of_kind = head["code"](hidden), head["mention"](hidden).log_softmax(-1)
        inside = (tags > 0) & (code < len(CODES))
        where = code[inside].numpy()
        np.add.at(sums[0], where, of_code[inside, code[inside]].numpy())
        np.add.at(sums[1], where, of_kind[inside].gather(1, kind[inside, None])[:, 0].numpy())
        np.add.at(seen, where, 1)
        loss = -of_kind.gather(1, kind[:, None])[:, 0].double()
        loss[inside] -= of_code[inside].log_softmax(-1).gather(1, code[inside, None])[:, 0]
        each = torch.zeros(len(batch.input_ids), dtype=torch.float64).index_add_(0, window, loss)
        losses += (each / torch.bincount(window, minlength=len(each)).clamp(min=1)).tolist()
    with np.errstate(invalid="ignore"):
        return sums[0] / seen, sums[1] / seen, np.array(losses)


def area(held: Any, absent: Any) -> float:
    """Return the AUC: how probably a held one scores above an absent one, a tie counting one half."""
    higher = held[:, None] > absent[None, :]
    return float((higher + 0.5 * (held[:, None] == absent[None, :])).mean())


def against_others(scores: Any) -> Any:
    """Return each site's scores less the mean of the other sites'. Shapes: (sites, N), returned too."""
    return scores - (scores.sum(0) - scores) / (len(scores) - 1)


def attack(policy: Policy | None, sites: int) -> dict[str, Any]:
    """Return the AUC of each attack at each site."""
    cache = WorkerCache(["rounds=1", "training.batch_notes=8", "training.local_epochs=1"])
    first = read_state(cache.tagger(len(CODES)))
    examples = clinic_of("public", notes_of(PUBLIC_SEED, PUBLIC_PATIENTS, PUBLIC_VISITS), None)
    public = cache.encoded(examples, "train").rows
    clinics = [clinic_of(f"site-{n}", notes_of(1000 + n, PATIENTS, VISITS), policy) for n in range(sites)]
    sampled = [cache.encoded(clinic, "train").rows[:SAMPLED] for clinic in clinics]
    rows = [*public, *(row for each in sampled for row in each)]
    found = []
    for clinic in clinics:
        payload = train_round(cache, clinic, Payload(first), 1)[1]
        state = {name: first[name] if name.startswith("head.") else payload.adapter[name] for name in first}
        of_code, of_mention, losses = readings(cache, rows, AdapterState(state))
        found.append((of_code, of_mention, -losses[len(public) :]))
        print(".", end="", file=sys.stderr, flush=True)
    by_code, by_mention, by_note = (against_others(np.stack(each)) for each in zip(*found, strict=True))
    areas: dict[str, list[float]] = {"rare codes, logit of the code": [], "rare codes, logit of a mention": []}
    areas["notes"] = []
    for number, clinic in enumerate(clinics):
        notes = clinic.split("train")
        held = {CODES.index(span.code) for note in notes for span in note.spans if span.code in CODES}
        known = np.isfinite(by_code[number])
        rare = [code for code in rare_codes(notes, CODES, RARE_BELOW) & held if known[code]]
        absent = [code for code in range(len(CODES)) if code not in held and known[code]]
        for name, scores in zip(areas, (by_code, by_mention), strict=False):  # the third is of notes
            areas[name].append(area(scores[number][rare], scores[number][absent]))
        own = np.arange(sites * SAMPLED) // SAMPLED == number
        areas["notes"].append(area(by_note[number][own], by_note[number][~own]))
    return areas


def main() -> None:
    """Print each attack's AUC with and without the default policy."""
    sites = int(sys.argv[1]) if len(sys.argv) > 1 else SITES
    with tempfile.TemporaryDirectory() as home:
        os.environ["CLINFED_HOME"] = home
        for name, policy in (("no policy", None), ("default policy", Policy())):
            for what, each in attack(policy, sites).items():
                half = 1.96 * np.std(each, ddof=1) / np.sqrt(len(each))
                mean = np.mean(each)
                print(f"{name:15} {what:32} AUC {mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]", flush=True)


if __name__ == "__main__":
    main()
