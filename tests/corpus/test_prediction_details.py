"""What was said of predicted spans comes back from each form that `clinfed predict` writes."""

from pathlib import Path

import pytest

from clinfed.corpus import prediction_details
from clinfed.corpus.note import PredictedNote, Prediction, Span
from clinfed.corpus.writers import write_brat, write_codiesp, write_jsonl

ONE, APART = Span(((0, 3),), "R05"), Span(((0, 3), (6, 10)), "J45.9")
SAID = (Prediction("Tos", 0.75), Prediction("", 0.5))
NOTE = PredictedNote("a%b", "tos y asma", (ONE, APART), "es", predictions=SAID)


@pytest.mark.parametrize(
    ("name", "kind", "write"),
    [("f.jsonl", "jsonl", write_jsonl), ("f", "brat", write_brat), ("f.tsv", "codiesp", write_codiesp)],
)
def test_title_and_score_come_back(name: str, kind: str, write: object, tmp_path: Path) -> None:
    write([NOTE], tmp_path / name)  # type: ignore[operator]
    assert prediction_details.read(tmp_path / name, kind) == {("a%b", ONE): SAID[0], ("a%b", APART): SAID[1]}


def test_what_says_nothing_is_passed_over(tmp_path: Path) -> None:
    lines = ["no json", '{"id": "n", "text": "tos", "spans": [{"start": 0, "end": 3, "code": "R05"}]}']
    (tmp_path / "f.jsonl").write_text("\n".join(lines))
    (tmp_path / "f.ann").write_text("T1\tDIAGNOSTICO 0 3\ttos\nN1\tReference T1 ICD10:R05\tTos\n")
    (tmp_path / "f.tsv").write_text("n\tDIAGNOSTICO\tr05\ttos\t0 3\n")
    for name, kind in (("f.jsonl", "jsonl"), ("f.ann", "brat"), ("f.tsv", "codiesp")):
        assert prediction_details.read(tmp_path / name, kind) == {}


def test_titles_are_those_of_the_notes_language() -> None:
    said = {("es1", ONE): SAID[0], ("ca1", ONE): Prediction("Tos (ca)", 0.5), ("ca1", APART): SAID[1]}
    titles = prediction_details.titles_in(said, {"es1": "es", "ca1": "ca"})
    assert titles == {("R05", "es"): "Tos", ("R05", "ca"): "Tos (ca)", ("R05", ""): "Tos"}
