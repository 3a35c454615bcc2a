"""The model of the C library's heap, on sequences worked by hand."""

from clinfed.probes.heap import Heap

MIB = 1 << 20


def peak_of(*steps: tuple[str, int]) -> int:
    """Return the peak after blocks come (size) and go (0), in MiB."""
    heap = Heap()
    for key, size in steps:
        heap.allocate(key, size) if size else heap.free(key)
    return round(heap.peak / MIB)


def test_blocks_that_live_together_add_up() -> None:
    assert peak_of(("a", 4 * MIB), ("b", 4 * MIB)) == 8


def test_blocks_mapped_apart_go_back_to_the_system() -> None:
    assert peak_of(("a", 40 * MIB), ("a", 0), ("b", 40 * MIB)) == 40


def test_a_hole_is_too_small_for_the_next_block_of_its_size_until_the_step_ends() -> None:
    heap = Heap()
    heap.allocate("first", 16 * MIB)
    heap.free("first")  # from now on blocks up to 16 MiB are in the heap
    for key in "abc":
        heap.allocate(key, 4 * MIB)
    heap.free("b")
    heap.allocate("d", 4 * MIB)
    assert round(heap.peak / MIB) == 16  # a, hole, c, d
    heap.free("d")
    heap.end_step()
    heap.allocate("e", 4 * MIB)  # the hole has joined with its gap: no growth
    heap.allocate("f", 4 * MIB)
    assert round(heap.peak / MIB) == 16


def test_a_smaller_block_fits_into_a_hole() -> None:
    assert peak_of(("x", 16 * MIB), ("x", 0), ("a", 4 * MIB), ("b", 4 * MIB), ("a", 0), ("c", 3 * MIB)) == 16
