"""How much memory a process really takes for a sequence of tensors: a small model of the GNU C library's heap.

Tensors come and go, the heap they leave holes in does not shrink, and a step's peak can be half again what its tensors
need. Modelled is what glibc 2.36 does with blocks of this size, and no other allocator.
"""

import bisect
from collections.abc import Hashable

ALIGNMENT_BYTES = 96  # asked for beyond a block, so that it can start at a multiple of 64 (torch aligns its tensors)
LEAD_BYTES = 48  # what alignment leaves in front of a block, on average
PAGE_BYTES = 4096
TOP_PAD_BYTES = 128 * 1024  # the heap grows by this much more than asked
MOST_MMAP_BYTES = 32 << 20  # blocks above are always mapped apart


class Heap:
    """Best fit with splitting and joining; large blocks are mapped apart, and what is large changes as they are freed.

    Small objects of the autograd graph settle in the gaps that alignment leaves in front of blocks. Until the step ends
    they keep neighbouring holes from joining, so that a hole is too small for the next block of the very same size.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._map_from = TOP_PAD_BYTES  # size from which a block is mapped apart; rises to the largest of them freed
        self._high = self._used = self._mapped = 0  # heap's end, end of its last block, bytes mapped apart
        self._holes: list[tuple[int, int]] = []  # (size, start), sorted
        self._size_at: dict[int, int] = {}  # start of a hole -> size
        self._start_before: dict[int, int] = {}  # end of a hole -> start
        self._blocks: dict[Hashable, tuple[bool, int, int]] = {}  # key -> (mapped apart, start, size)
        self._gaps: list[tuple[int, int]] = []

    def allocate(self, key: Hashable, size: int) -> None:
        """Place a block."""
        size = (size + 31) // 16 * 16  # with glibc's own header
        wanted = size + ALIGNMENT_BYTES
        place = bisect.bisect_left(self._holes, (wanted, -1))
        if place < len(self._holes):
            room, start = self._holes[place]
            self._take(start)
            self._place(key, start, size)
            rest = room - LEAD_BYTES - size
            self._give(start + LEAD_BYTES + size, rest)
        elif wanted >= self._map_from and self._high - self._used < wanted:
            pages = -(-wanted // PAGE_BYTES) * PAGE_BYTES
            self._mapped += pages
            self._blocks[key] = (True, 0, pages)
        else:
            start = self._used
            self._high = max(self._high, start + wanted + TOP_PAD_BYTES) if self._high - start < wanted else self._high
            self._used = start + LEAD_BYTES + size
            self._place(key, start, size)
        self.peak = max(self.peak, self._high + self._mapped)

    def free(self, key: Hashable) -> None:
        """Give a block back."""
        mapped, start, size = self._blocks.pop(key)
        if not mapped:
            self._join(start, size)
            return
        self._mapped -= size
        if self._map_from < size <= MOST_MMAP_BYTES:
            self._map_from = size

    def end_step(self) -> None:
        """Free the small objects of a step's graph."""
        for start, size in self._gaps:
            self._join(start, size)
        self._gaps = []

    def _place(self, key: Hashable, start: int, size: int) -> None:
        self._gaps.append((start, LEAD_BYTES))
        self._blocks[key] = (False, start + LEAD_BYTES, size)

    def _join(self, start: int, size: int) -> None:
        """Make a hole, together with its neighbours; at the end of the heap it may go back to the system."""
        if start in self._start_before:
            before = self._start_before[start]
            start, size = before, size + self._take(before)
        if start + size in self._size_at:
            size += self._take(start + size)
        if start + size != self._used:
            self._give(start, size)
            return
        self._used = start
        if self._high - start > 2 * self._map_from:
            self._high = start + TOP_PAD_BYTES

    def _give(self, start: int, size: int) -> None:
        if size > 0:
            self._size_at[start], self._start_before[start + size] = size, start
            bisect.insort(self._holes, (size, start))

    def _take(self, start: int) -> int:
        size = self._size_at.pop(start)
        del self._start_before[start + size]
        self._holes.pop(bisect.bisect_left(self._holes, (size, start)))
        return size
