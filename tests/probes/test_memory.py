"""Peak memory of a block, by the kernel's mark and by sampling."""

import mmap
import time

import pytest

from clinfed.probes import memory
from clinfed.probes.memory import peak_memory, resident_bytes

MB = 1_000_000


def touch(megabytes: int) -> mmap.mmap:
    """Return memory that is new and really there: from the heap it could be what other tests have left resident."""
    pages = mmap.mmap(-1, megabytes * MB)
    for start in range(0, len(pages), mmap.PAGESIZE):
        pages[start] = 1
    return pages


def test_a_block_that_was_freed_inside_is_in_the_peak() -> None:
    with peak_memory() as peak:
        touch(120)
    assert 110 * MB < peak.grown_bytes < 150 * MB


def test_an_earlier_peak_is_not_in_a_later_one() -> None:
    if not memory.reset_high_water():
        pytest.skip("the kernel does not let this process reset its mark")
    with peak_memory() as first:
        touch(200)
    with peak_memory() as second:
        touch(40)
    assert first.how == second.how == "high_water"
    assert second.peak_bytes < first.peak_bytes - 100 * MB  # ru_maxrss would show the first one's


def test_without_the_mark_a_thread_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "reset_high_water", lambda: False)
    with peak_memory() as peak:
        kept = touch(120)
        until = time.perf_counter() + 20 * memory.SAMPLE_EVERY_S
        while time.perf_counter() < until:  # work that takes longer than a few samples
            len(kept)
    assert peak.how == "sampled"
    assert 110 * MB < peak.grown_bytes < 150 * MB


def test_resident_memory_is_that_of_a_python_with_libraries() -> None:
    assert 10 * MB < resident_bytes() < 20_000 * MB


@pytest.mark.gpu
def test_on_cuda_the_allocator_is_asked() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    with peak_memory("cuda") as peak:
        torch.zeros(100 * MB, dtype=torch.uint8, device="cuda")
    assert peak.how == "allocated"
    assert 100 * MB <= peak.grown_bytes < 103 * MB
