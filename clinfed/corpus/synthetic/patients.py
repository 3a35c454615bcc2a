"""Who comes when: patients with their problems, their visits, and how many mentions each note will hold."""

import math
from dataclasses import dataclass, field
from functools import cache
from random import Random

from clinfed.corpus.synthetic.lexicon import Clinic, Diagnosis, clinics, diagnoses

# Targets from the published statistics of the reference corpus; each scales with the number of patients.
FULL_PATIENTS = 320
FULL_NOTES = 21_812
FULL_MENTIONS = {"ca": 8_647, "es": 7_353}
MOST_VISITS = 174
MOST_WORDS = 620
MOST_HEADINGS = 4  # words added to a note by its headings

CORE = ("I20", "I21", "I25", "I42", "I48", "I50", "I63", "I69", "G45")  # heart disease or stroke: each patient has one
OWN_LANGUAGE_SHARE = 0.9  # of a patient's notes that are in the patient's language
WORDS_SIGMA = 0.72  # of the log of the length of a note


@dataclass(frozen=True, slots=True)
class VisitKind:
    """A kind of visit: its share, the median of its words, and its mean number of mentions."""

    share: float
    words: float
    mentions: float
    sections: dict[str, float]


KINDS = {
    "doctor": VisitKind(
        0.46, 34.5, 0.65, {"subjective": 3, "exam": 2, "vitals": 0.6, "labs": 0.6, "plan": 1.6, "drugs": 1.2}
    ),
    "chronic": VisitKind(
        0.16, 43.5, 1.25, {"subjective": 1.5, "exam": 1.5, "vitals": 1.2, "labs": 2, "plan": 1.5, "drugs": 1.5}
    ),
    "nurse": VisitKind(0.2, 26, 0.35, {"nurse": 3, "vitals": 1.5, "labs": 0.5, "plan": 0.6, "subjective": 0.5}),
    "admin": VisitKind(0.12, 11, 0.2, {"admin": 3, "drugs": 0.7, "plan": 0.4}),
    "report": VisitKind(
        0.06, 110, 2.6, {"narrative": 3, "subjective": 1, "exam": 1.5, "labs": 1, "drugs": 1, "plan": 1, "vitals": 0.4}
    ),
}


@dataclass(slots=True)
class Visit:
    """One visit, to become one note: what it will hold."""

    id: str
    language: str
    kind: str
    words: int
    mentions: int


@dataclass(slots=True)
class Patient:
    """An invented patient; problems pair a diagnosis with how often it is written about."""

    id: str
    clinic: Clinic
    language: str
    sex: str
    problems: list[tuple[Diagnosis, float]]
    visits: list[Visit] = field(default_factory=list)


def plan_patients(seed: int, count: int) -> list[Patient]:
    """Return the patients with their visits; notes and mentions add up to the scaled targets."""
    rng = Random(f"synthetic/{seed}/{count}")
    number_of_visits = _visit_counts(rng, count)
    patients = [_draw_patient(rng, f"synthetic-{seed}-{index:04d}") for index in range(count)]
    for patient, number in zip(patients, number_of_visits, strict=True):
        patient.visits = [_draw_visit(rng, f"{patient.id}-v{place:03d}", patient.language) for place in range(number)]
    visits = [visit for patient in patients for visit in patient.visits]
    for language, mentions in FULL_MENTIONS.items():
        _fit_mentions(
            rng, [visit for visit in visits if visit.language == language], round(mentions * count / FULL_PATIENTS)
        )
    return patients


def _visit_counts(rng: Random, patients: int) -> list[int]:
    total = round(FULL_NOTES * patients / FULL_PATIENTS)
    counts = [min(MOST_VISITS, max(1, round(rng.gammavariate(2.3, 30)))) for _ in range(patients)]
    if patients >= FULL_PATIENTS // 4:  # a large draw shows the whole published range
        counts[0], counts[1] = 1, MOST_VISITS
    movable = range(2 if patients > 2 else 0, patients)
    while sum(counts) != total:
        index, step = rng.choice(movable), 1 if sum(counts) < total else -1
        counts[index] = min(MOST_VISITS, max(1, counts[index] + step))
    rng.shuffle(counts)
    return counts


def _draw_patient(rng: Random, identity: str) -> Patient:
    clinic = rng.choices(list(clinics().values()), [clinic.weight for clinic in clinics().values()])[0]
    sex = rng.choice("mf")
    problems: dict[str, Diagnosis] = {}
    wanted = rng.randint(6, 15)
    pool, cumulative = chronic_pool(clinic.name, sex)
    core, core_cumulative = core_pool(clinic.name, sex)
    first = rng.choices(core, cum_weights=core_cumulative)[0]
    problems[first.code[:3]] = first  # one code per category: no two stages of the same disease
    while len(problems) < wanted:
        diagnosis = rng.choices(pool, cum_weights=cumulative)[0]
        problems.setdefault(diagnosis.code[:3], diagnosis)
    return Patient(
        id=identity,
        clinic=clinic,
        language="ca" if rng.random() < clinic.catalan else "es",
        sex=sex,
        problems=[(diagnosis, rng.expovariate(1.0) + 0.2) for diagnosis in problems.values()],
    )


def _draw_visit(rng: Random, identity: str, language: str) -> Visit:
    if rng.random() >= OWN_LANGUAGE_SHARE:
        language = "es" if language == "ca" else "ca"
    name = rng.choices(list(KINDS), [kind.share for kind in KINDS.values()])[0]
    kind = KINDS[name]
    words = min(MOST_WORDS - MOST_HEADINGS, max(3, round(rng.lognormvariate(math.log(kind.words), WORDS_SIGMA))))
    mentions = _poisson(rng, kind.mentions * (words / kind.words) ** 0.5)
    return Visit(identity, language, name, words, min(mentions, 1 + words // 6))


def _poisson(rng: Random, mean: float) -> int:
    # Knuth's method; the means here are small.
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _fit_mentions(rng: Random, visits: list[Visit], target: int) -> None:
    """Change some visits' numbers of mentions by one until they add up to the target."""
    missing = target - sum(visit.mentions for visit in visits) if visits else 0
    while missing:
        visit = rng.choice(visits)
        if missing > 0:
            visit.mentions += 1
            missing -= 1
        elif visit.mentions:
            visit.mentions -= 1
            missing += 1


Pool = tuple[list[Diagnosis], list[float]]


@cache
def chronic_pool(clinic: str, sex: str) -> Pool:
    """Return the diagnoses that a patient may carry for years, with cumulative weights."""
    return _pool(clinic, sex, [item for item in diagnoses().values() if item.kind != "acute"])


@cache
def core_pool(clinic: str, sex: str) -> Pool:
    """Return heart diseases and stroke, with cumulative weights."""
    return _pool(clinic, sex, [item for item in diagnoses().values() if item.code.startswith(CORE)])


@cache
def acute_pool(clinic: str, sex: str) -> Pool:
    """Return the diagnoses of single episodes, with cumulative weights."""
    return _pool(clinic, sex, [item for item in diagnoses().values() if item.kind == "acute"])


@cache
def whole_pool(clinic: str, sex: str) -> Pool:
    """Return all diagnoses, with cumulative weights."""
    return _pool(clinic, sex, list(diagnoses().values()))


def _pool(clinic: str, sex: str, members: list[Diagnosis]) -> Pool:
    chapters = clinics()[clinic].chapters
    members = [item for item in members if item.sex in ("", sex)]
    cumulative, total = [], 0.0
    for item in members:
        total += item.weight * chapters.get(item.code[0], 1.0)
        cumulative.append(total)
    return members, cumulative
