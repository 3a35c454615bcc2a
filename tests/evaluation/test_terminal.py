"""No table or line for a terminal is wider than it, and nothing is lost where columns are folded."""

import pytest

from clinfed.evaluation.report.terminal import WIDTH, folded, wrapped

HEAD = ["system", *(f"column {number:02}" for number in range(20))]


def test_a_table_that_has_room_is_one() -> None:
    assert folded(["system", "F1"], [["federated", ".5"], ["one", "-"]]) == "system     F1\nfederated  .5\none        -"


@pytest.mark.parametrize("name", ["row", "federated (strategy=fedrows training.batch_notes=4)", "W" * 130])
def test_columns_without_room_stand_below_beside_the_names(name: str) -> None:
    cells = [f".{number:03} [.000, .999]" for number in range(20)]
    text = folded(HEAD, [[name, *cells]])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(text.count(cell) == 1 for cell in [*HEAD[1:], *cells])
    tables = text.split("\n\n")
    assert len(tables) > 1
    for table in tables:
        head, first, *rest = table.splitlines()
        assert head.startswith("system ")
        assert "".join([first.split(" ")[0], *rest]).startswith(name[:3])
        assert len(rest) == (len(name) - 1) // 40  # the rest of a long name stands below, forty letters a line


def test_a_cell_wider_than_its_room_goes_on_below() -> None:
    head, row = ["system", "F1", "worst clinic"], ["S" * 50, ".500", f".400 ({'primary care centre ' * 10}north)"]
    text = folded(head, [row])
    assert max(map(len, text.splitlines())) <= WIDTH
    last = text.split("\n\n")[-1].splitlines()
    cells = [line[len("S" * 40) + 2 :] for line in last]
    assert " ".join(" ".join(cells).split()) == f"worst clinic {row[2]}"


def test_columns_of_a_group_stand_together_and_rows_without_any_are_left_out() -> None:
    # Beside names of 6 letters ten columns of 9 have room, so that the group of the last four stands below.
    rows = [["one", *["1"] * 20], ["two", *["1"] * 8, *["-"] * 12]]
    first, second = folded(HEAD[:13], [row[:13] for row in rows], breaks=["column 08"]).split("\n\n")
    assert first.splitlines()[0].split("  ")[-1] == "column 07"
    assert second.splitlines()[0].split() == ["system", "column", "08", "column", "09", "column", "10", "column", "11"]
    assert [line.split()[0] for line in second.splitlines()[1:]] == ["one"]


def test_prose_is_broken_between_words() -> None:
    lines = wrapped(["word " * 50, "", "short"])
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).split() == ["word"] * 50 + ["short"]
    assert lines[-2:] == ["", "short"]
