"""Which runs a site lets start: those with a manifest that the coordinator's operator has signed.

CLINIC/manifests/ keeps them by hash: waiting/ those that nobody has approved yet, approved/ those that may run here,
started/ the run that each has started, because a manifest is for one run.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from clinfed import fingerprints, manifests, signatures
from clinfed.clinic.site import PARTITION, NodeConfig, Site, of_node
from clinfed.errors import UserError
from clinfed.home import clinic_folder
from clinfed.manifests import Manifest, ManifestError
from clinfed.refusals import RefusedError

WAITING, APPROVED, STARTED = "waiting", "approved", "started"
EACH = "each"  # site.toml: approval = "each"
MOST_WAITING = 100  # only the operator can add one
SHORTEST_HASH = 8  # characters that name one


def admit(node_config: NodeConfig, overrides: Sequence[str], text: str) -> Manifest | None:
    """Return the manifest of a run that may start here, None where the site asks for none. Raises: RefusedError."""
    site = None if PARTITION in node_config else of_node(node_config)
    if site is None or not site.operator:
        return None
    try:
        manifest = manifests.verified(text, signatures.read_public(Path(site.operator)))
    except (ManifestError, UserError) as error:
        refuse(f"{site.where}: the run's manifest: {error}")
    if list(manifest.overrides) != list(overrides):
        refuse(f"{site.where}: the run has other overrides than its manifest {manifest.sha256[:16]}")
    if manifest.code != fingerprints.code():
        refuse(f"{site.where}: manifest {manifest.sha256[:16]} is for the code {manifest.code:.16}, another runs here")
    if site.approval == EACH and not _file(APPROVED, manifest.sha256).exists():
        _wait(site, manifest.sha256, text)
    return manifest


def refuse_other_bases(manifest: Manifest | None, identity: Mapping[str, Any]) -> None:
    """Raise RefusedError where a hello finds another base, tokenizer or list of codes than the manifest names."""
    if manifest is None:
        return
    for name in manifests.BASES:
        if (found := str(identity[f"fingerprint.{name}"])) != manifest.uses[name]:
            refuse(f"manifest {manifest.sha256[:16]} is for the {name} {manifest.uses[name]:.16}, here is {found:.16}")


def bind(manifest: Manifest | None, run_key: str) -> None:
    """Let a manifest start this run and no other. Raises: RefusedError where it has started another."""
    if manifest is None:
        return
    path = _file(STARTED, manifest.sha256)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(run_key)
    except FileExistsError:
        if path.read_text("utf-8") != run_key:
            refuse(f"manifest {manifest.sha256[:16]} has started another run; a manifest is for one")


def waiting() -> list[Manifest]:
    """Return the manifests that nobody has approved yet, oldest first."""
    kept = [manifests.unverified(path.read_text("utf-8")) for path in _folder(WAITING).glob("*.json")]
    return sorted(kept, key=lambda manifest: manifest.started)


def approve(wanted: str) -> Manifest:
    """Approve a manifest by its file, or one that waits by the beginning of its hash. Raises: UserError."""
    path = Path(wanted)
    if not path.is_file():
        found = sorted(_folder(WAITING).glob(f"{wanted}*.json")) if wanted.isalnum() else []
        if len(wanted) < SHORTEST_HASH or len(found) != 1:
            raise UserError(
                f"{wanted}: no file, and {len(found)} of the manifests that wait begin so; give a file, or at least "
                f"{SHORTEST_HASH} characters of a hash that `clinfed site waiting` shows"
            )
        path = found[0]
    try:
        text = path.read_text("utf-8")
        manifest = manifests.unverified(text)
    except (OSError, ManifestError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no manifest ({error}); give one that the coordinator has sent") from None
    _write(_file(APPROVED, manifest.sha256), text)
    _file(WAITING, manifest.sha256).unlink(missing_ok=True)
    return manifest


def refuse(why: str) -> NoReturn:
    """Raise RefusedError for a run that its manifest does not allow."""
    raise RefusedError("manifest", f"{why}; no note was opened")


def _wait(site: Site, sha256: str, text: str) -> NoReturn:
    if len(list(_folder(WAITING).glob("*.json"))) < MOST_WAITING:
        _write(_file(WAITING, sha256), text)
    raise RefusedError(
        "approval",
        f"{site.where}: nobody has approved the run's manifest {sha256[:16]}; no note was opened; look at it with "
        f"`clinfed site waiting`, and let it run with `clinfed site approve {sha256[:16]}`",
    )


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _file(kind: str, sha256: str) -> Path:
    return _folder(kind) / f"{sha256}.json"


def _folder(kind: str) -> Path:
    folder = clinic_folder("manifests") / kind
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
