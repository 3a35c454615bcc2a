"""What a run was measured on, for its record."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = ("clinfed", "flwr", "ray", "numpy", "torch", "transformers", "tokenizers", "peft", "bitsandbytes")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version(), "executable": sys.executable}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def cores() -> int:
    """Return how many cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def machine(threads: int, device: str) -> dict[str, Any]:
    """Return what the numbers were measured on; no host name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    described: dict[str, Any] = {"name": f"{platform.system()} {platform.machine()}", "processor": _processor()}
    described |= {"cores": os.cpu_count(), "threads": threads}
    return described | {"memory_bytes": memory, "device": device, "gpu": _gpu() if device != "cpu" else None}


def _processor() -> str:
    """Return the processor's model: with bfloat16 another one gives other last bits."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
