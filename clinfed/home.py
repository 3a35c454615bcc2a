"""Where clinfed keeps things: run records, bases by name, and what is private to the clinics of this machine."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from clinfed.errors import UserError

PRIVATE_MODE = 0o700  # encoded notes and error details are for the clinic's own account only


def home() -> Path:
    """Return $CLINFED_HOME, else the user's data folder of this platform; absolute, made where absent."""
    given = os.environ.get("CLINFED_HOME", "")
    if given:
        folder = Path(given).expanduser().absolute()
    else:
        from platformdirs import user_data_path

        folder = user_data_path("clinfed", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"CLINFED_HOME={folder}: cannot be made ({error.strerror}); name a folder that this account may write to"
        ) from None
    return folder


def runs_folder() -> Path:
    """Return where the run records go."""
    folder = home() / "runs"
    folder.mkdir(exist_ok=True)
    return folder


def bases_folder() -> Path:
    """Return where each side keeps bases under the names that a run may ask for: $CLINFED_BASES, else home()/bases."""
    given = os.environ.get("CLINFED_BASES", "")
    return Path(given).expanduser().absolute() if given else home() / "bases"


def clinic_folder(name: str) -> Path:
    """Return a folder inside home()/clinic, which nobody but this account may enter; nothing of it ever travels."""
    private = home() / "clinic"
    private.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    private.chmod(PRIVATE_MODE)  # also where an earlier umask or copy had opened it
    folder = private / name
    folder.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    return folder


def clinic_secret() -> str:
    """Return a random text that is drawn once for this account's clinic and never travels.

    Lost or replaced, later runs are no longer paired with earlier ones on this clinic's patients; nothing else.
    """
    folder = clinic_folder("secret")
    path = folder / "bootstrap.key"
    if not path.exists():
        draft = folder / secrets.token_hex(8)
        draft.write_text(secrets.token_hex(16), "utf-8")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # whole or not at all; of two processes the first one's
        draft.unlink()
    return path.read_text("utf-8")


def artefact_file(adapter_sha256: str, clinic: str, file: str) -> Path:
    """Return where a simulated clinic keeps what evaluating an adapter gave, until the run's command takes it."""
    return (
        clinic_folder("artefacts") / f"{adapter_sha256[:32]}-{hashlib.sha256(clinic.encode()).hexdigest()[:16]}-{file}"
    )
