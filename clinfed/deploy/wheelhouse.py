"""A folder of wheels from which a site installs clinfed without a network: each file is named with its SHA-256.

wheelhouse(Path("wheels"), source=Path("clinfed"))
# wheels/requirements.txt, wheels/SHA256SUMS, wheels/*.whl; at the site:
# pip install --no-index --find-links wheels --require-hashes -r wheels/requirements.txt
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from clinfed.errors import UserError

LOCK = Path("locks/site.txt")  # in the checkout: versions and hashes of what a site needs
REQUIREMENTS, SUMS = "requirements.txt", "SHA256SUMS"
TAIL_LINES = 3
CHUNK_BYTES = 1 << 20


def wheelhouse(folder: Path, source: Path, *, lock: Path | None = None, wheel: Path | None = None) -> list[Path]:
    """Download what the lock names, and add clinfed's own wheel; return the wheels.

    source: a checkout of clinfed. lock: another than its own. wheel: clinfed's, else it is built from the checkout.
    Raises: UserError where pip cannot get a file, or one has another hash than the lock says.
    """
    lock = lock or source / LOCK
    if not lock.is_file():
        raise UserError(f"{lock}: no such file; give a checkout of clinfed with --source, or a lock with --lock")
    folder.mkdir(parents=True, exist_ok=True)
    _pip("download", "--only-binary", ":all:", "--no-deps", "--require-hashes", "-r", str(lock), "-d", str(folder))
    if wheel is None:
        for old in folder.glob("clinfed-*.whl"):
            old.unlink()
        _pip("wheel", "--no-deps", "-w", str(folder), str(source))
        wheel = next(iter(folder.glob("clinfed-*.whl")))
    own = folder / wheel.name
    if not wheel.is_file():
        raise UserError(f"{wheel}: no such file; expected clinfed's own wheel")
    if wheel.absolute() != own.absolute():
        own.write_bytes(wheel.read_bytes())
    name, version = own.name.split("-")[:2]
    line = f"{name}=={version} --hash=sha256:{sha256(own)}\n"
    (folder / REQUIREMENTS).write_text(lock.read_text("utf-8").rstrip("\n") + f"\n{line}", "utf-8")
    wheels = sorted(folder.glob("*.whl"))
    sums = "".join(f"{sha256(each)}  {each.name}\n" for each in [*wheels, folder / REQUIREMENTS])
    (folder / SUMS).write_text(sums, "utf-8")
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
