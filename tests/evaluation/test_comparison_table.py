"""The table of a comparison and the verdict: which rows are paired, over which seeds, and what is said of the gap."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinfed.corpus.note import Span
from clinfed.errors import UserError
from clinfed.evaluation import comparison
from clinfed.evaluation.bootstrap import Replicates, f1_of_runs
from clinfed.evaluation.counts import Counts, SpanCounts
from clinfed.evaluation.report.comparison import comparison_rows, comparison_table, score_rows
from clinfed.evaluation.report.lead import leading, rivals, verdict
from clinfed.evaluation.report.pairs import difference_rows, differences, pair_by_code
from clinfed.evaluation.report.results import Finished, Result
from clinfed.evaluation.report.terminal import WIDTH
from clinfed.evaluation.spans import EvaluatedNote, count_spans
from clinfed.evaluation.unit_counts import count_units
from clinfed.runs.record import COUNTS

CLINICS = ("north", "south")


def counted(tp: int, gold: int = 50) -> SpanCounts:
    """Return so many found of the gold mentions of a code, as many wrong ones as missed ones, and steady replicates."""
    counts = Counts(tp, gold - tp, gold - tp)
    return SpanCounts({("ca", "J00"): counts}, {"ca": np.outer(range(1, 6), [counts.tp, counts.fp, counts.fn])})


def run(system: str, tps: Sequence[int], *, gold: int = 50, lexicons: Mapping[str, int] | None = None) -> Finished:
    """Return a finished run whose clinics have found so many mentions, and those that lexicons have found at each."""
    record: Any = {
        "rounds": [{"validation": None, "clinics": {clinic: {} for clinic in CLINICS}}],
        "probes": {"trainable_parameters": 1, "training_s": 1.0, "documents_per_s": 1.0},
        "bytes_up": 0,
        "bytes_down": 0,
        "adapter_sha256": "",
        "config": {"options": {"corpus": "synthetic"}},
    }
    counts = {(system, "all"): {name: counted(tp, gold) for name, tp in zip(CLINICS, tps, strict=True)}}
    for name, tp in (lexicons or {}).items():
        counts[name, "all"] = {clinic: counted(tp, gold) for clinic in CLINICS}
    return Finished(record, counts)


def row(name: str, *by_seed: Sequence[int], **settings: Any) -> Result:
    """Return a row whose seeds, from 0, have found so many mentions at each clinic."""
    system = "federated" if name == "federated" else "centralised"
    return Result(name, {seed: run(system, tps, **settings) for seed, tps in enumerate(by_seed)})


def below(results: Sequence[Result]) -> str:
    return "\n".join(comparison_rows(results)[2])


def said(results: Sequence[Result]) -> str:
    return verdict(results, differences(results))


def test_the_share_of_the_gap_is_stated_where_every_clinics_row_is_finished() -> None:
    joint = [row("federated", (30, 40)), row("centralised", (40, 40))]
    alone = [row("local north", (30, 10)), row("local south", (10, 30))]
    # From .4 alone to .8 in one place; .7 is three quarters of the way.
    assert "share of the gap from mean local-only to centralised (seeds 0): 75% [75%, 75%]" in below([*joint, *alone])
    assert "not yet, without local south (seed 0)" in below([*joint, alone[0]])
    assert "75%" not in below([*joint, alone[0]])
    assert "share of the gap" not in below(joint)
    assert "federated minus centralised (seeds 0): -.100 [-.100, -.100] F1, paired" in below(joint)


def test_the_gap_is_also_measured_from_lexicons_and_from_the_ensemble_of_clinics() -> None:
    joint = [row("federated", (30, 40)), row("centralised", (40, 40))]
    # .7 on the way from .6 to .8, and from .4 to .8; of an end above one place no share is stated.
    text = below([*joint, row("local lexicon", (30, 30)), row("local ensemble", (20, 20))])
    assert "share of the gap from local lexicon to centralised (seeds 0): 50% [50%, 50%]" in text
    assert "share of the gap from local ensemble to centralised (seeds 0): 75% [75%, 75%]" in text
    assert "gap from local lexicon to centralised (seeds 0): its 95% interval is not above 0" in below(
        [*joint, row("local lexicon", (45, 45))]
    )


def test_the_gap_begins_at_the_clinics_that_each_seed_has() -> None:
    federated = row("federated", (30, 40), (30, 40))
    federated.runs[1].record["rounds"][0]["clinics"] = {"north": {}, "west": {}}
    rows = [federated, row("centralised", (40, 40), (40, 40)), row("local north", (20, 20), (20, 20))]
    rows += [Result("local south", {0: run("centralised", (20, 20))})]
    rows += [Result("local west", {1: run("centralised", (18, 20))})]
    # Seed 0 begins at (.4 + .4) / 2 and seed 1 at (.4 + .38) / 2: .395 on the mean; .7 of .8 closes .305 of .405.
    # The gap's mean is .405 +- t(1) .005 = .0635, and what is not closed is .1: 1 - .1/.3415 to 1 - .1/.4685.
    assert "centralised (seeds 0, 1): 75% [71%, 79%]" in below(rows)
    assert "centralised (seeds 0): 75% [75%, 75%]" in below(rows[:-1])


def test_a_clinics_own_lexicon_is_that_of_the_seeds_it_is_paired_with() -> None:
    federated = Result(
        "federated",
        {
            seed: run("federated", (40, 40), lexicons={"clinic_lexicons": tp, "pooled_lexicon": 25})
            for seed, tp in enumerate((20, 30))
        },
    )
    local = Result("local north", {0: run("centralised", (30, 30), lexicons={"clinic_lexicons": 20})})
    found = {(each["ours"], each["theirs"]): each for each in differences([local, federated])}
    own = found["federated", "lexicons, each clinic's own"]
    assert (own["f1"], own["seeds"]) == (pytest.approx(0.8 - 0.5), [0, 1])
    assert found["local north", "lexicons, each clinic's own"]["f1"] == pytest.approx(0.6 - 0.4)
    head, rows, _ = comparison_rows([local, federated])
    shown = next(dict(zip(head, each, strict=True)) for each in rows if each[0] == "lexicons, each clinic's own")
    assert (shown["seeds"], shown["test F1 [95% interval]"]) == ("2", ".500 [.000, 1.000]")  # .5 +- t(1) .1
    assert (shown["seeds' range"], shown["worst clinic"]) == (".400-.600", ".500")
    worst = [
        "lexicons, each clinic's own",
        "test",
        "worst clinic, post-selection",
        ".500",
        ".000",
        "1.000",
        ".500",
        "",
        "",
    ]
    assert worst in score_rows([local, federated])


def test_codes_by_frequency_and_the_worst_clinic_have_both_means() -> None:
    def clinic(**found: Counts) -> SpanCounts:
        total = sum(found.values(), Counts())
        rows = np.outer(range(1, 6), [total.tp, total.fp, total.fn])
        return SpanCounts({("ca", code): counts for code, counts in found.items()}, {"ca": rows})

    north, south = clinic(J00=Counts(1, 0, 0), I10=Counts(9, 0, 0)), clinic(E11=Counts(0, 0, 3), I10=Counts(1, 1, 1))
    finished = run("federated", (0, 0))
    evaluated = replace(finished, counts={("federated", "all"): {"north": north, "south": south}})
    rows = {each[2]: each[3:] for each in score_rows([Result("federated", {0: evaluated})])}
    # J00 of one mention 1, E11 of three 0: 2 * 1 / (1 + 4) and (1 + 0) / 2; I10 of eleven: 20 / 22.
    assert rows["codes 1-4"] == [".400", "", "", ".500", "", ""]
    assert rows["codes 5-19"] == [".909", "", "", ".909", "", ""]
    # The south finds 1 of 5 and one wrong; by code 0 and 1 / 2.
    assert rows["worst clinic, post-selection"] == [".286", ".286", ".286", ".250", "", ""]


def test_notes_whose_language_is_not_known_are_a_group_of_their_own() -> None:
    gold = frozenset({Span(((0, 4),), "J00")})
    known = [EvaluatedNote(f"p{number}", "ca", gold, gold) for number in range(4)]
    notes = [*known, *(EvaluatedNote(f"q{number}", "", gold, frozenset()) for number in range(4))]
    evaluated = {("federated", "all"): {"north": count_spans(notes, replicates=5)}}
    units = {"test": {"adapter": {"north": count_units(notes)}}}
    result = Result("federated", {0: replace(run("federated", (0, 0)), counts=evaluated, units=units)})
    rows = {each[2]: each[3:] for each in score_rows([result])}
    assert rows["no language"] == [".000"] * 6  # and not the interval of all notes
    assert comparison_rows([result])[0][5:7] == ["no language", "ca"]


def test_a_run_without_a_evaluation_on_test_is_refused(tmp_path: Path) -> None:
    (tmp_path / COUNTS).write_text("{}", "utf-8")
    (tmp_path / "record.json").write_text('{"schema": 1, "test": {}}', "utf-8")
    with pytest.raises(UserError, match="the run had no test notes"):
        Finished.of(tmp_path / "record.json")


def test_rows_that_were_evaluated_on_other_notes_are_no_pair() -> None:
    results = [row("centralised", (40, 40)), row("another corpus", (40, 40), gold=60)]
    assert differences(results) == []
    assert "another corpus was evaluated on different notes than centralised (seeds 0): no pair there" in below(results)
    assert "different notes" not in below(results[:1])
    assert pair_by_code(results) is None
    with pytest.raises(UserError, match="evaluated on different notes"):
        pair_by_code(results, ["centralised", "another corpus"])


def test_a_seed_in_which_a_clinic_was_left_out_is_not_paired_and_the_others_are() -> None:
    federated, centralised = row("federated", (40, 40), (40, 40)), row("centralised", (30, 30), (40, 40))
    for_all = federated.runs[1].counts["federated", "all"]
    left_out = replace(federated.runs[1], counts={("federated", "all"): {"north": for_all["north"]}})
    results = [Result("federated", {0: federated.runs[0], 1: left_out}), centralised]
    [pair] = differences(results)
    assert (pair["seeds"], pair["f1"]) == ([0], pytest.approx(0.2))
    assert ".200 above centralised [.200, .200] (seeds 0)" in said(results)
    assert "centralised was evaluated on different notes than federated (seeds 1)" in below(results)
    assert "federated: its seeds were not all evaluated on the same notes" in below(results)
    assert "centralised: its seeds" not in below(results)


def test_the_verdict_pairs_the_seeds_that_both_have_and_says_which_side_is_ahead() -> None:
    federated = row("federated", (40, 40), (40, 40), lexicons={"pooled_lexicon": 40})
    centralised = row("centralised", (44, 44), (44, 44), (10, 10))
    text = said([centralised, federated])
    assert text.startswith("The federated adapter reaches strict micro-F1 .800 [.800, .800] on test (2 seeds).")
    assert ".080 below centralised [-.080, -.080]" in text
    assert "level with (within .010 of) lexicon, pooled [.000, .000]" in text
    apart = said([row("federated", (40, 40), (40, 40)), row("centralised", (41, 41), (39, 39))])
    assert "not told apart from centralised [-.254, .254]" in apart  # t(1) .02
    alone = said([row("federated", (40, 40)), row("centralised", (40, 40))])
    assert "not told apart from centralised [.000, .000]" in alone  # one seed shows nothing of others
    assert ".120 above centralised [.120, .120]" in said([federated, row("centralised", (34, 34), (34, 34))])
    fewer = said([row("federated", (40, 40), (40, 40)), row("centralised", (45, 45))])
    assert ".100 below centralised [-.100, -.100] (seeds 0)" in fewer


def told(name: str, system: str, tps: Sequence[int], **config: Any) -> Result:
    """Return a row of one seed that a federated or a centralised run has trained, with these settings."""
    finished = run(system, tps, lexicons={"pooled_lexicon": 49, "joined": 49})
    finished.record["config"].update(config)
    return Result(name, {0: finished})


def test_the_verdict_leads_with_the_federation_whatever_its_row_is_called() -> None:
    lexicon = {"task": {"lexicon": True}}
    alone = told("local north", "centralised", (45, 45), only={"clinic": "north"})
    with_input = told("federated lexicon", "federated", (48, 48), **lexicon)
    one_place, ours = told("one place", "centralised", (45, 45)), told("three sites", "federated", (40, 40))
    text = said([alone, with_input, one_place, ours])
    assert text.startswith("The federated adapter “three sites” reaches strict micro-F1 .800")
    assert ".100 below one place [-.100, -.100]; .180 below lexicon, pooled" in text
    assert "local north" not in text
    assert "+ lexicon" not in text
    assert said([alone, with_input]).startswith("The federated lexicon adapter")  # where there is no other
    assert said([alone, one_place]).startswith("The centralised adapter “one place”")
    settings = [told(f"federated (rounds={rounds})", "federated", (rounds, 40)) for rounds in (20, 30)]
    text = said([one_place, *settings])
    assert text.startswith("The federated (rounds=20) adapter reaches strict micro-F1 .600")
    assert ".100 below federated (rounds=30)" in text
    assert leading([alone]).name == "local north"
    many = [ours, *(told(f"row {number}", "centralised", (45, 45)) for number in range(9))]
    assert [row.name for row in rivals(many)] == ["row 0", "row 1", "row 2"]


def test_a_difference_that_stands_the_other_way_round_is_turned_with_its_interval() -> None:
    results = [row("centralised", (45, 45)), row("federated", (40, 40))]
    found = {"ours": "centralised", "theirs": "federated", "f1": 0.1, "interval": [0.02, 0.18], "seeds": [0]}
    assert verdict(results, [found]).endswith("It is .100 below centralised [-.180, -.020].")


def test_each_row_is_drawn_once_however_many_it_is_paired_with(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counting(runs: Sequence[Replicates]) -> Any:
        drawn.append(len(runs))
        return f1_of_runs(runs)

    monkeypatch.setattr(comparison, "f1_of_runs", counting)
    results = [row(f"row {number}", (number % 40, 40)) for number in range(72)]
    assert len(difference_rows(differences(results))) == 72 * 71 // 2
    assert len(drawn) == 72


def test_the_table_of_a_comparison_has_room_in_a_terminal_and_is_whole_in_markdown() -> None:
    name = "federated (strategy=fedrows training.batch_notes=4 adapter.r=32)"
    results = [row(name, (30, 40), (40, 40), lexicons={"clinic_lexicons": 20, "joined": 45}), row("local", (1, 2))]
    table = comparison_table(results, pending=[f"a row with quite a name {number} (seed 0)" for number in range(9)])
    assert max(map(len, table.text.splitlines())) <= WIDTH
    head, rows, _ = comparison_rows(results)
    assert all(column in table.text for column in head)
    assert all("| " + " | ".join(each) + " |" in table.markdown.splitlines() for each in [head, *rows])


@pytest.mark.parametrize("length", [10, 60, 200])
def test_nothing_of_a_comparison_is_wider_than_a_terminal_whatever_the_names(length: int) -> None:
    longest = "hospital " * (length // 9) + "x" * (length % 9)
    rows = [row("federated", (30, 40), lexicons={"pooled_lexicon": 20}), row(f"local {longest}", (30, 10))]
    pending = [f"{longest} {number} (seed 0)" for number in range(9)]
    text = comparison_table(rows, pending=pending).text
    assert max(map(len, text.splitlines())) <= WIDTH == 120
    assert f"{longest} 8 (seed 0)".split()[-3:] == text.split()[-3:]
