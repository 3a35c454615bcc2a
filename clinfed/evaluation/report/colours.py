"""Which colour and sign a row, a clinic or a language has: the same in all plots and tables of a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clinfed.evaluation.report.comparison import all_systems
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import NO_LANGUAGE

# Each has a contrast of at least 3 to white and to the page's black, as WCAG asks of graphics; neighbours differ for
# colour-blind readers in lightness or in blue.
PALETTE = ("#2f7fd1", "#c96a00", "#1f8f5f", "#b45fd6", "#d1494f", "#0f8f9c", "#a8672f", "#d0549b", "#7f8020", "#6f72c9")
MARKERS = "os^Dv*PX"  # matplotlib's
SIGNS = "●■▲◆▼★✚✖"  # the same in letters
NEUTRAL = "#7a7a7a"


@dataclass(frozen=True)
class Mark:
    """How something is drawn. marker: matplotlib's, sign: the same as a letter, so that no colour stands alone."""

    colour: str = PALETTE[0]
    marker: str = MARKERS[0]
    sign: str = SIGNS[0]


def marks(names: Iterable[str], first: int = 0) -> dict[str, Mark]:
    """Return each name's mark, in their order; 80 names get different ones. first: where in the palette it begins."""
    found = {}
    for number, name in enumerate(dict.fromkeys(names)):
        shape = (number + number // len(PALETTE)) % len(MARKERS)
        found[name] = Mark(PALETTE[(number + first) % len(PALETTE)], MARKERS[shape], SIGNS[shape])
    return found


@dataclass(frozen=True)
class Colours:
    """The marks of a report, by name."""

    rows: Mapping[str, Mark] = field(default_factory=dict)
    clinics: Mapping[str, Mark] = field(default_factory=dict)
    languages: Mapping[str, Mark] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Colours":
        """Return the marks of all that the report of these rows shows."""
        finished = [run for result in results for run in result.runs.values()]
        clinics = {clinic for run in finished for clinic in run.record["manifest"]}
        evaluated = [each["validation"] for run in finished for each in run.record["rounds"] if each["validation"]]
        clinics |= {clinic for each in evaluated for clinic in each["by_clinic"]}
        languages = {language or NO_LANGUAGE for run in finished for language in run.adapter.languages}
        languages |= {language or NO_LANGUAGE for each in evaluated for language in each["by_language"]}
        rows = [system.name for system in all_systems(results)]
        # Beginning elsewhere, the first clinic and the first language do not look like the first row.
        return cls(marks(rows), marks(sorted(clinics), first=5), marks(sorted(languages), first=2))

    def legend(self) -> list[tuple[str, list[tuple[str, Mark]]]]:
        """Return what has marks, by kind, for a legend."""
        kinds = (("Rows", self.rows), ("Clinics", self.clinics), ("Languages", self.languages))
        return [(kind, [*found.items()]) for kind, found in kinds if found]
