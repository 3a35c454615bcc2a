"""A folder of wheels from which a site installs clinfed without a network: each file is named with its SHA-256.

wheelhouse(Path("wheels"), source=Path("clinfed"))
# wheels/requirements.txt, wheels/SHA256SUMS, wheels/*.whl; at the site:
# pip install --no-index --find-links wheels --require-hashes -r wheels/requirements.txt
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from clinfed.deploy.folders import refuse_filled
from clinfed.errors import UserError

LOCK = Path("locks/site.txt")  # in the checkout: versions and hashes of what a site needs
REQUIREMENTS, SUMS = "requirements.txt", "SHA256SUMS"
TAIL_LINES = 3
CHUNK_BYTES = 1 << 20


def wheelhouse(folder: Path, source: Path, *, lock: Path | None = None, wheel: Path | None = None) -> list[Path]:
    """Gather what the lock names, and add clinfed's own wheel; return the wheels.

    source: a checkout of clinfed. lock: another than its own. wheel: clinfed's, else it is built from the checkout.
    Raises: UserError where pip cannot get a file, or one has another hash than the lock says.
    """
    lock = lock or source / LOCK
    if not lock.is_file():
        raise UserError(f"{lock}: no such file; give a checkout of clinfed with --source, or a lock with --lock")
    refuse_filled(folder, "give a new one")
    folder.mkdir(parents=True, exist_ok=True)
    # The hashes are the lock's. What exists as source only is built here, so that a site builds nothing.
    _pip("wheel", "--no-deps", "--require-hashes", "-r", str(lock), "-w", str(folder))
    if wheel is None:
        _pip("wheel", "--no-deps", "-w", str(folder), str(source))
    elif wheel.is_file():
        (folder / wheel.name).write_bytes(wheel.read_bytes())
    else:
        raise UserError(f"{wheel}: no such file; expected clinfed's own wheel")
    wheels = sorted(folder.glob("*.whl"))
    hashes = {each: sha256(each) for each in wheels}
    lines = [f"{'=='.join(each.name.split('-')[:2])} --hash=sha256:{found}\n" for each, found in hashes.items()]
    (folder / REQUIREMENTS).write_text("".join(lines), "utf-8")
    hashes[folder / REQUIREMENTS] = sha256(folder / REQUIREMENTS)
    (folder / SUMS).write_text("".join(f"{found}  {each.name}\n" for each, found in hashes.items()), "utf-8")
    return wheels


def sha256(path: Path) -> str:
    """Return a file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = " | ".join(line.strip() for line in done.stderr.strip().splitlines()[-TAIL_LINES:])
        raise UserError(f"pip {arguments[0]} failed: {said}")
