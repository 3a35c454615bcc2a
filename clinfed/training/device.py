"""Whether the device is there that a run or a site asks for."""

import torch

from clinfed.refusals import RefusedError


def without_gpu(device: str) -> tuple[str, str]:
    """Return what is wrong where a GPU is asked for that PyTorch does not see, and what to do."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    seen = f"{count} GPU(s)" if count else "no GPU"
    if torch.version.cuda is None:
        found = f"device {device}: PyTorch sees {seen}, torch {torch.__version__} is built without CUDA"
        return found, "install a CUDA build of torch, or choose device cpu"
    found = f"device {device}: PyTorch sees {seen}, with torch {torch.__version__} for CUDA {torch.version.cuda}"
    return found, "look at `nvidia-smi` (driver, number of the GPU), or choose device cpu"


def has_gpu(device: str) -> bool:
    """Return whether the device is there: the CPU is, a GPU (cuda, cuda:1) where PyTorch sees it."""
    if device == "cpu":
        return True
    return torch.cuda.is_available() and int(device.partition(":")[2] or 0) < torch.cuda.device_count()


def refuse_absent(device: str) -> None:
    """Raise RefusedError where the device is a GPU that is not there: a coordinator is told of a site's `device`."""
    if not has_gpu(device):
        found, remedy = without_gpu(device)
        raise RefusedError("device", f"training.{found}; {remedy} (training.device, at a site device in site.toml)")
