"""What a bundle of code holds, told from its bytes: nothing of it is unpacked or imported here.

Flower's own process unpacks a bundle and puts its folder first on Python's path. A file `safetensors/__init__.py` in it
would then run in place of the installed package, before any check. So a bundle may hold clinfed's own code and the few
files that Flower adds, and nothing else.
"""

import zipfile
from io import BytesIO

from clinfed import fingerprints
from clinfed.refusals import RefusedError

BESIDE_CODE = ("pyproject.toml", "LICENSE", "README.md", ".info/CONTENT")  # none of them is ever executed
LARGEST_BYTES = 64 * 2**20  # once inflated; ours has 2 MB, and Flower takes at most 10 MB of archive


def code_of(bundle: bytes) -> str:
    """Return the fingerprint of a bundle's code, as `clinfed.fingerprints.code` gives it of what is installed.

    Raises: RefusedError("bundle") where it holds anything beside that code, or is no archive.
    """
    try:
        with zipfile.ZipFile(BytesIO(bundle)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _refuse_others(entries)
            code = {entry.filename: archive.read(entry) for entry in entries if entry.filename not in BESIDE_CODE}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise RefusedError("bundle", f"the bundle cannot be read ({type(error).__name__}); nothing ran") from None
    return fingerprints.hash_files(code)


def _refuse_others(entries: list[zipfile.ZipInfo]) -> None:
    """Raise RefusedError for files that are not ours, that come twice, or that are too large together."""
    names = [entry.filename for entry in entries]
    for name in names:
        if name not in BESIDE_CODE and not fingerprints.is_bundled(name):
            raise RefusedError("bundle", f"the bundle holds {name!r:.200}, which is no file of clinfed; nothing ran")
    if len(set(names)) < len(names):
        raise RefusedError("bundle", "the bundle holds two files of one name; nothing ran")
    if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
        raise RefusedError("bundle", f"the bundle has more than {LARGEST_BYTES} bytes of files; nothing ran")
