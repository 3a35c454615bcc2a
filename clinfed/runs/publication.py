"""What may be said in public of a finished run: tables for a model card, and the audit file.

Both are put together from named parts of the record, never copied whole: a record also holds local paths.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinfed.evaluation.report.tables import SYSTEMS, fraction
from clinfed.evaluation.scores import Evaluation, Score
from clinfed.runs.record import ADAPTERS, RoundRecord, RunRecord

AUDIT_SCHEMA = 1
SETTINGS = ("adapter", "task", "strategy", "partition")  # groups of the configuration that hold no path
BASE = ("name", "revision", "license", "random_init", "random_seed")
NO_PRIVACY = (
    "None: no noise was added and no update was encrypted against the coordinator. Only adapters and counts left a "
    "clinic. That alone does not keep traces of notes out of an adapter."
)


def card_sections(record: RunRecord) -> str:
    """Return the card's sections on data, results, training and privacy, in markdown; of data only counts."""
    sections = {
        "Data": _data(record),
        "Results": _results(record),
        "Training": training(record),
        "Privacy": privacy(record),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())


def languages(record: RunRecord) -> tuple[str, ...]:
    """Return the languages of the notes, those with most notes first."""
    counted = _sum(record, "languages")
    return tuple(language for language, _ in counted.most_common() if len(language) == 2)


def privacy(record: RunRecord) -> str:
    """Return the run's privacy settings, in words where there are none."""
    settings: Mapping[str, Any] = record["config"].get("privacy") or {}
    return "\n".join(f"- {name}: {value}" for name, value in settings.items()) or NO_PRIVACY


def audit(record: RunRecord) -> dict[str, Any]:
    """Return who took part in which rounds, settings, fingerprints, versions, seeds; no path, no note, no patient."""
    config = record["config"]
    clinics = sorted({name for entry in record["rounds"] for name in entry["clinics"]})
    versions = {name: version for name, version in record["versions"].items() if name != "executable"}  # a path
    return {
        "schema": AUDIT_SCHEMA,
        "adapter_sha256": record["adapter_sha256"],
        "started": record["started"],
        "seconds": record["seconds"],
        "clinics": {name: _took_part(record["rounds"], name) for name in clinics},
        "rounds": [_round(entry) for entry in record["rounds"]],
        "refused_at_start": record.get("refused", []),
        "refused_at_test": record.get("test_refused", []),
        "chosen_round": record["chosen_round"],
        "chosen_by": record["chosen_by"],
        "settings": {group: config[group] for group in SETTINGS}
        | {"options": config["options"], "training": config["training"], "seed": config["seed"]}
        | {"rounds": config["rounds"], "rounds_per_epoch": config.get("rounds_per_epoch", 1)}
        | {"only": config.get("only", {})}
        | {"base": {key: config["base"][key] for key in BASE}},
        "privacy": config.get("privacy") or "none",
        "labels": dict(record["labels"]),
        "fingerprints": record["fingerprints"],
        "versions": versions,
        "seeds": record["seeds"],
        "bytes_up": record["bytes_up"],
        "bytes_down": record["bytes_down"],
    }


def _took_part(rounds: Iterable[RoundRecord], clinic: str) -> dict[str, Any]:
    entries = [entry for entry in rounds if clinic in entry["clinics"]]
    return {
        "rounds": [entry["round"] for entry in entries],
        "training_notes": max(entry["clinics"][clinic]["notes"] for entry in entries),
    }


def _round(entry: RoundRecord) -> dict[str, Any]:
    """Return one round: who was averaged, and who was refused or left out where the record says so."""
    said: Mapping[str, Any] = entry
    return {"round": entry["round"], "clinics": sorted(entry["clinics"]), "refused": said.get("refused", [])}


def _data(record: RunRecord) -> str:
    held = record["manifest"].values()
    notes = sum(clinic["notes"] for clinic in held)
    splits, spoken = _sum(record, "splits"), _sum(record, "languages")
    patients = [clinic["patients"] for clinic in held if "patients" in clinic]
    lines = [
        f"- {notes:,} notes in {len(record['manifest']):,} clinics: {_listed(splits)}; by language: {_listed(spoken)}",
        f"- {sum(clinic['mentions'] for clinic in held):,} annotated mentions",
    ]
    if len(patients) == len(record["manifest"]):
        lines.append(f"- {sum(len(each) for each in patients):,} patients (notes that name none count as one each)")
    trained = sum(entry["notes"] for entry in record["rounds"][-1]["clinics"].values())
    lines.append(f"- {trained:,} training notes at the clinics of the last round")
    return "\n".join(lines)


def _results(record: RunRecord) -> str:
    system = next(name for name in ADAPTERS if name in record["test"])
    labels = record["labels"]
    lines = [
        "Strict micro scores on the test notes, which no training or choice has seen: a mention counts when its exact "
        "span and its code are right. 95% intervals: percentile bootstrap over patients (over notes that name none).",
        "Gold: all = every annotated mention; representable = those that one tag a word can hold with these labels.",
        f"Labels: {labels['name']}, {labels['codes']:,} codes."
        + (
            f" A perfect tagger reaches F1 {fraction(labels['ceiling_f1'])} on all gold."
            if "ceiling_f1" in labels
            else ""
        ),
        "",
        "| system | gold | language | P | R | F1 [95% interval] | mentions |",
        "|---|---|---|---|---|---|---|",
    ]
    for gold, scores in record["test"][system].items():
        rows = {"all": {**scores["micro"], "interval": scores["interval"]}, **scores["by_language"]}
        lines += [_row(SYSTEMS[system], gold, language or "none named", score) for language, score in rows.items()]
    others = {name: each["all"] for name, each in record["test"].items() if name not in ADAPTERS and "all" in each}
    lines += [_other(SYSTEMS.get(name, name), scores) for name, scores in others.items()]
    return "\n".join(lines)


def _other(name: str, scores: Evaluation) -> str:
    return _row(name, "all", "all", {**scores["micro"], "interval": scores["interval"]})


def _row(system: str, gold: str, language: str, score: Score | Mapping[str, Any]) -> str:
    interval = score.get("interval")
    spread = f" [{fraction(interval[0])}, {fraction(interval[1])}]" if interval else ""
    figures = [fraction(score["precision"]), fraction(score["recall"]), fraction(score["f1"]) + spread]
    return "| " + " | ".join([system, gold, language, *figures, f"{score['tp'] + score['fn']:,}"]) + " |"


def training(record: RunRecord) -> str:
    """Return how the adapter was trained: rounds, choices, settings, seeds."""
    config, seeds = record["config"], record["seeds"]
    options = config["options"]
    settings = {**config["adapter"], **config["task"], **config["training"]}
    shown = (
        "r",
        "alpha",
        "local_epochs",
        "learning_rate",
        "head_factor",
        "batch_notes",
        "batch_tokens",
        "window",
        "lexicon",
    )
    how = ", ".join(f"{name} {settings[name]}" for name in shown if name in settings)
    return "\n".join(
        [
            f"- {_run_state(record)}",
            f"- {options['adapter']}, head {options['task']}: {how}",
            f"- Seeds: {', '.join(f'{name} {seed}' for name, seed in seeds.items())}",
        ]
    )


def _run_state(record: RunRecord) -> str:
    """Return how often the notes were passed over, and where."""
    config = record["config"]
    rounds, parts = config["rounds"], config.get("rounds_per_epoch", 1)
    if "federated" not in record["test"]:
        only = ", ".join(f"{name} {each}" for name, each in config.get("only", {}).items() if each not in ("", 1.0))
        epochs = rounds * config["training"]["local_epochs"] // parts
        return f"{epochs:,} epochs, in one place" + (f"; of these only: {only}" if only else "")
    spread = f", {parts} to one epoch" if parts > 1 else ""
    chosen = f"the adapter is that of round {record['chosen_round']} ({record['chosen_by']})"
    return f"{len(record['rounds']):,} rounds{spread}, strategy {config['options']['strategy']}; {chosen}"


def _sum(record: RunRecord, key: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for clinic in record["manifest"].values():
        total.update(clinic[key])
    return total


def _listed(counts: Mapping[str, int]) -> str:
    ordered: Sequence[tuple[str, int]] = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {number:,}" for name, number in ordered)
