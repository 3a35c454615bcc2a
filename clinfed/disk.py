"""Errors of the file system that the user can mend: full disks, wrong paths, missing rights; each in one line."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

ROOM = "make room there, or write elsewhere"
PATH = "correct the path, or name another"
MENDABLE = {
    errno.ENOSPC: f"no space is left on its disk; {ROOM}",
    errno.EDQUOT: f"the quota of its disk is used up; {ROOM}",
    errno.EFBIG: f"larger than its disk allows; {ROOM}",
    errno.EIO: "its disk cannot be read or written; look at the disk, or use another",
    errno.EROFS: "its disk is read-only; write elsewhere",
    errno.EACCES: "no permission; give this account the right, or name another place",
    errno.EPERM: "not permitted; give this account the right, or name another place",
    errno.ENOENT: f"not there, and cannot be made there; {PATH}",
    errno.ENOTDIR: f"a part of this path is a file, not a folder; {PATH}",
    errno.EEXIST: f"there already, and not a folder; {PATH}",
    errno.EISDIR: f"a folder, expected a file; {PATH}",
    errno.ENOTEMPTY: f"a folder that is not empty; {PATH}",
    errno.ENAMETOOLONG: f"a name longer than its disk allows; {PATH}",
    errno.ELOOP: f"links that lead in a circle; {PATH}",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}
WITHOUT_NAME = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # raised while a file that is open is written


def mistake(error: OSError, *, unnamed: str = "a file that is written") -> str | None:
    """Return place, reason and remedy in one line, or None where the error may be a bug of ours.

    unnamed: what is written, where the error does not say.
    """
    if error.errno not in MENDABLE:
        return None
    if error.filename is None:
        return f"{unnamed}: {MENDABLE[error.errno]}" if error.errno in WITHOUT_NAME else None
    written = error.filename2 if error.errno in WITHOUT_NAME else None  # where a copy goes; the first is its source
    place = os.fsdecode(written or error.filename)
    return None if _is_installed(place) else f"{place}: {MENDABLE[error.errno]}"


@contextmanager
def writing(target: Path, passing: Path | None = None) -> Iterator[None]:
    """Let an OSError that names no file, or one under the target's passing name, name the target."""
    try:
        yield
    except OSError as error:
        if error.errno in MENDABLE and (error.filename is None or str(error.filename).startswith(str(passing))):
            error.filename, error.filename2 = str(target), None
        raise


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it again where what is written into it does not come to its end."""
    folder.mkdir(parents=True)
    try:
        with writing(folder):
            yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def together(target: Path) -> Iterator[Path]:
    """Yield a path of the target's name in a passing folder: what is written beside it appears whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    passing = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with writing(target, passing):
            yield passing / target.name
            for file in sorted(passing.iterdir()):
                file.replace(target.with_name(file.name))
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def refuse_unwritable(folder: Path) -> None:
    """Make the folder where it is absent; raise OSError, naming it, where no file can be made in it."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".clinfed-{os.getpid()}"
    with writing(folder, probe):
        probe.write_text("writable\n", encoding="utf-8")
        probe.unlink()


def _is_installed(place: str) -> bool:
    """Return whether a path lies in this installation: no user has given it."""
    folders = (Path(__file__).resolve().parent, Path(sys.prefix).resolve())
    return any(Path(place).resolve().is_relative_to(folder) for folder in folders)
