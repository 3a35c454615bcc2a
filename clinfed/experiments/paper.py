"""The trainable-parameter column of the reference paper, counted anew.

Source: Estupiñán-Ojeda et al. 2025, JAMIA Open, doi 10.1093/jamiaopen/ooaf120. Rank 256 on all six linear layers of
every encoder layer, no biases, and a head with one row for each of 28,999 to 29,018 BIO tags.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from clinfed.errors import AdviceWarning
from clinfed.probes.parameters import ParameterCount, count_parameters

if TYPE_CHECKING:
    from clinfed.adapters.base import Adapter

LABELS = 29_001  # an odd number of tags inside the interval: 14,500 codes
RANK = 256

# Millions, as the paper prints them.
PUBLISHED: dict[str, dict[str, float]] = {
    "roberta_bne": {"full": 146.4, "lora": 64.8, "dora": 64.9, "loha": 107.2, "lokr": 22.5, "qlora": 64.8},
    "distilmbert": {"full": 157.0, "lora": 43.5, "dora": 43.6, "loha": 64.8, "lokr": 22.4, "qlora": 43.5},
    "mbert": {"full": 199.6, "lora": 64.8, "dora": 64.9, "loha": 107.2, "lokr": 22.5, "qlora": 64.8},
    "mdeberta": {"full": 300.5, "lora": 64.8, "dora": 64.9, "loha": 107.2, "lokr": 22.5, "qlora": 64.8},
}
PUBLISHED_RANKS = {256: 64.8, 128: 43.5, 64: 32.9, 32: 27.6}  # QLoRA on mbert


@dataclass(frozen=True)
class Cell:
    """One cell of the column."""

    base: str
    method: str
    rank: int  # 0 for full fine-tuning
    published: float  # millions
    counts: ParameterCount

    @property
    def equal(self) -> bool:
        """Return whether the count, rounded to 0.1 million, is the published one."""
        return round(self.counts.trainable / 1e6, 1) == self.published


def cells(labels: int = LABELS) -> Iterator[Cell]:
    """Yield the 28 cells, counted on the meta device for a head of so many tags."""
    for base, row in PUBLISHED.items():
        for method, published in row.items():
            yield _cell(base, method, 0 if method == "full" else RANK, published, labels)
    for rank, published in PUBLISHED_RANKS.items():
        yield _cell("mbert", "qlora", rank, published, labels)


def table(found: list[Cell]) -> str:
    """Return one line a cell and, last, how many are equal."""
    head = f"{'base':12} {'method':6} {'rank':>4} {'adapter':>13} {'head':>12} {'trainable':>13} {'published':>10}"
    lines = [
        f"{cell.base:12} {cell.method:6} {cell.rank or '-':>4} {cell.counts.adapter:13,} {cell.counts.head:12,} "
        f"{cell.counts.trainable:13,} {cell.published:8.1f} M{'' if cell.equal else '  differs'}"
        for cell in found
    ]
    equal = sum(cell.equal for cell in found)
    return "\n".join([head, *lines, f"{equal} of {len(found)} cells equal the published figure at 0.1 M"])


def _cell(base: str, method: str, rank: int, published: float, labels: int) -> Cell:
    hidden, counts = _encoder(base, method, rank)
    return Cell(base, method, rank, published, replace(counts, head=(hidden + 1) * labels))


@cache
def _encoder(base: str, method: str, rank: int) -> tuple[int, ParameterCount]:
    """Return an encoder's hidden size, and the counts with its adapter and without a head, which may have any size.

    It is built on the meta device, which takes the seconds of this command.
    """
    import warnings

    from torch import nn

    from clinfed.bases import meta_encoder
    from configs import load

    encoder = meta_encoder(load([f"base={base}"]).base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdviceWarning)  # the paper's LoKr has a saturated rank; that is the point
        return encoder.config.hidden_size, count_parameters(encoder, _adapter(method, rank), nn.Module())


def _adapter(method: str, rank: int) -> "Adapter":
    from configs.discovery import plugin_class

    adapter: Adapter = plugin_class("adapter", method)(**({"r": rank} if rank else {}))
    return adapter
