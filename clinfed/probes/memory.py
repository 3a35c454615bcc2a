"""Peak memory of a stretch of work: of the device's allocator on CUDA, of the whole process on the CPU."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
SAMPLE_EVERY_S = 0.005  # a training step takes longer; a shorter spike between two samples is missed
KIB = 1024


@dataclass
class PeakMemory:
    """Filled in when the block ends. On the CPU bytes are resident ones of the whole process, libraries included."""

    how: str  # "allocated" (CUDA), "high_water" (kernel's mark, reset at the start), "sampled" (by a thread)
    before_bytes: int = 0
    peak_bytes: int = 0

    @property
    def grown_bytes(self) -> int:
        """Return how far the peak stood above the start."""
        return self.peak_bytes - self.before_bytes


@contextlib.contextmanager
def peak_memory(device: str = "cpu") -> Iterator[PeakMemory]:
    """Measure the peak inside a `with` block; training and inference take a block each.

    The process's ru_maxrss is of no use here: it never falls, so a second block would show the first one's peak.
    """
    if device.startswith("cuda"):
        yield from _allocated(device)
    elif reset_high_water():
        peak = PeakMemory("high_water", before_bytes=resident_bytes())
        try:
            yield peak
        finally:
            peak.peak_bytes = _status_bytes("VmHWM")
    else:
        yield from _sampled()


def resident_bytes() -> int:
    """Return the process's resident memory now."""
    if STATUS.exists():
        return _status_bytes("VmRSS")
    import psutil  # comes with accelerate; only where there is no /proc

    return int(psutil.Process().memory_info().rss)


def reset_high_water() -> bool:
    """Set the kernel's high-water mark of resident memory to the present value; return whether that is allowed here."""
    try:
        CLEAR_REFS.write_text("5")  # "5" resets the mark: man 5 proc_pid_clear_refs
        return STATUS.exists()
    except OSError:
        return False


def _status_bytes(key: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * KIB
    return 0


def _allocated(device: str) -> Iterator[PeakMemory]:
    import torch

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    peak = PeakMemory("allocated", before_bytes=torch.cuda.memory_allocated(device))
    try:
        yield peak
    finally:
        torch.cuda.synchronize(device)
        peak.peak_bytes = torch.cuda.max_memory_allocated(device)


def _sampled() -> Iterator[PeakMemory]:
    peak = PeakMemory("sampled", before_bytes=resident_bytes())
    peak.peak_bytes = peak.before_bytes
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_EVERY_S):
            peak.peak_bytes = max(peak.peak_bytes, resident_bytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak.peak_bytes = max(peak.peak_bytes, resident_bytes())
