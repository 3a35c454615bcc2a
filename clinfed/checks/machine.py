"""What the machine offers: Python and packages, GPU, 4-bit layers, disk, the SuperNode's port."""

import platform
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from clinfed.checks.finding import Finding
from clinfed.corpus.files import below
from clinfed.errors import UserError

DISTRIBUTION = "clinfed"
EXTRA, EARLIER = "site", "train"  # what a site installs; what it installed before there was an extra of its own
# One encoding of the invented corpus takes 7 times its notes' bytes; this leaves room for other windows and codes.
ENCODED_SHARE = 20
SPARE_BYTES = 1_000_000_000  # for logs, adapters and what Flower unpacks
GB = 1e9
INSTALL = "pip install --upgrade 'clinfed[site]', in this environment"


def python_and_packages() -> list[Finding]:
    """Return whether the interpreter and the installed packages are those that clinfed asks for."""
    from importlib import metadata

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
        python_wanted = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")
    except metadata.PackageNotFoundError:
        return [Finding("packages", "fail", "clinfed is not installed in this environment", INSTALL)]
    extra = EXTRA if EXTRA in extras else EARLIER
    wanted = map(Requirement, metadata.requires(DISTRIBUTION) or [])
    chosen = [each for each in wanted if not each.marker or each.marker.evaluate({"extra": extra})]
    versions = {each.name: _version(each.name) for each in chosen}
    wrong = [
        f"{each.name} is {versions[each.name] or 'missing'}, expected {each.specifier}"
        for each in chosen
        if not each.specifier.contains(versions[each.name] or "0", prereleases=True)
    ]
    python = platform.python_version()
    rows = [Finding("python", "ok", python)]
    if not python_wanted.contains(python, prereleases=True):
        remedy = f"make the environment with Python {python_wanted}"
        rows = [Finding("python", "fail", f"{python}, expected {python_wanted}", remedy)]
    if wrong:
        return [*rows, Finding("packages", "fail", "; ".join(wrong), INSTALL)]
    return [*rows, Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))]


def _version(name: str) -> str:
    """Return the installed version, "" where there is none."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def gpu(device: str) -> Finding:
    """Return whether the site's device is there. device: "" leaves it to the run."""
    import torch

    from clinfed.training.device import has_gpu, without_gpu

    if not device.startswith("cuda"):
        seen = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
        return Finding("gpu", "ok", f"{seen}; the site computes on {device or 'the device of the run'}")
    if not has_gpu(device):
        return Finding("gpu", "fail", *without_gpu(device))
    memory = torch.cuda.get_device_properties(device).total_memory
    return Finding("gpu", "ok", f"{device} is {torch.cuda.get_device_name(device)}, {memory / GB:.0f} GB")


def four_bit(device: str, *, needed: bool) -> Finding:
    """Return whether a 4-bit layer really computes here. needed: the settings or the run ask for one."""
    place = device or "cpu"
    try:
        cause = "" if _computes_in_four_bits(place) else "its numbers are not finite"
    except Exception as error:  # a driver, a library that is not there, an old processor: each has its own class
        cause = type(error).__name__
    if not cause:
        return Finding("4-bit", "ok", f"NF4 layers compute on {place}" + ("" if needed else "; not asked for"))
    found, remedy = (
        f"a 4-bit layer does not compute on {place} ({cause})",
        "install bitsandbytes for this machine, or set",
    )
    return Finding("4-bit", "fail" if needed else "warn", found, f'{remedy} quantisation = "none"')


def _computes_in_four_bits(device: str) -> bool:
    import torch

    from clinfed.bases.quantized import quiet_bitsandbytes, steady

    quiet_bitsandbytes()  # before it is imported
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(64, 64, compute_dtype=torch.bfloat16, quant_type="nf4").to(device)  # 64: a block of NF4
    out = steady(layer)(torch.ones(1, 64, device=device, dtype=torch.bfloat16))
    return bool(out.isfinite().all())


def disk(folder: Path, notes: Path) -> Finding:
    """Return whether the clinic's private folder has room for the encoded notes."""
    held = _size(notes)
    free, wanted = shutil.disk_usage(folder).free, ENCODED_SHARE * held + SPARE_BYTES
    found = f"{free / GB:.1f} GB free in {folder}, at most {wanted / GB:.1f} GB are needed"
    if free < wanted:
        return Finding("disk", "fail", found, "make room, or set CLINFED_HOME to a folder on a larger disk")
    return Finding("disk", "ok", found)


def _size(notes: Path) -> int:
    """Return the bytes of the notes; what cannot be read has none here, and its fault in the row of the notes."""
    with suppress(UserError, OSError):
        return sum(file.stat().st_size for file in below(notes, "notes").files)
    return 0


def port(number: int) -> Finding:
    """Return whether the SuperNode can listen at its port, which is for this machine's own processes."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            found = f"port {number} is in use on this machine"
            remedy = f"none if it is this site's own SuperNode; else give that another one: --port {number + 1}"
            return Finding("port", "warn", found, remedy)
    return Finding("port", "ok", f"{number} is free for the SuperNode")
