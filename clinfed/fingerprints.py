"""The code's identity: which files are imported, from where, and whether all sides run the same ones.

Generic package names (client, server, configs) make it easy to import another project's code by mistake; Ray even puts
its working directory before the bundle on the workers' path. So the hash is taken over the files of the packages as
they are found on *this* process's path, and must be the same on all sides.
"""

import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from clinfed.errors import UserError

if TYPE_CHECKING:
    from configs import Run

PACKAGES = ("clinfed", "server", "client", "strategies", "partitions", "configs")

# What the Flower bundle carries of them; the same list stands in pyproject.toml (fab-include).
BUNDLED = (
    "clinfed/**/*.py",
    "clinfed/corpus/synthetic/*.json",
    "server/**/*.py",
    "client/**/*.py",
    "strategies/**/*.py",
    "partitions/**/*.py",
    "configs/**/*.py",
    "configs/**/*.yaml",
)
NEVER_BUNDLED = ("test_*.py", "*_test.py")  # Flower's own exclusions
_AS_PATTERNS = tuple(
    re.compile(re.escape(glob).replace(r"/\*\*/", "/(?:[^/]+/)*").replace(r"\*", "[^/]*")) for glob in BUNDLED
)

REMEDIES = {
    "wire": "install the same clinfed on both sides",
    "code": "both sides must run the same code: install the same clinfed, and start away from other projects' folders",
    "base": "give both sides the same files (base=..., base.revision)",
    "quantisation": "install the same clinfed and bitsandbytes on both sides",
    "tokenizer": "give both sides the same tokenizer files",
    "labels": "give both sides the same list of codes (corpus.labels, at a site labels in its node_config)",
    "adapter": "the first adapter has other shapes there: install the same peft and transformers on both sides",
}


@cache  # once a process: what counts is the code that it has imported, not what is edited later
def code() -> str:
    """Return the SHA-256 of the code that this process imports: paths inside the packages and bytes of their files."""
    return hash_packages(root_of(package) for package in PACKAGES)


def hash_packages(roots: Iterable[Path]) -> str:
    """Return the SHA-256 over the packages' bundled files; roots: where each of PACKAGES stands, in that order."""
    digest = hashlib.sha256()
    for package, root in zip(PACKAGES, roots, strict=True):
        digest.update(_hash_package(root, package))
    return digest.hexdigest()


def root_of(package: str) -> Path:
    """Return the folder that holds the package as this process imports it."""
    module = sys.modules.get(package)
    origin = getattr(module, "__file__", None)
    if origin is None:
        spec = importlib.util.find_spec(package)
        origin = spec.origin if spec else None
    if origin is None:
        raise UserError(f"package {package} is not on this process's path; install clinfed again (make install)")
    return Path(origin).resolve().parents[1]


def refuse_foreign_code(searched_first: Path | None = None) -> None:
    """Raise UserError where one of our packages would come from somewhere else with other content.

    searched_first: a folder that other processes of the run search before their bundle (Ray's working directory).
    An equal copy, as when `flwr run` is started inside the checkout, is no harm.
    """
    ours = root_of("clinfed")
    for package in PACKAGES:
        for found in {root_of(package), searched_first or ours} - {ours}:
            if _importable(found, package) and _hash_package(found, package) != _hash_package(ours, package):
                raise UserError(
                    f"foreign code on the path: {found / package} hides {ours / package}; start from another folder, "
                    f"take {found} off the path, or use `clinfed simulate`, which starts from a neutral one"
                )


def hash_files(files: Mapping[str, bytes]) -> str:
    """Return what hash_packages gives of the same files on disk. files: content by path in the bundle."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        names = sorted(PurePosixPath(name) for name in files if name.startswith(f"{package}/") and is_bundled(name))
        digest.update(_hashed_contents((name.as_posix(), files[name.as_posix()]) for name in names))
    return digest.hexdigest()


def is_bundled(name: str) -> bool:
    """Return whether a file of this path belongs to the code: what bundled_files finds, and nothing else."""
    path = PurePosixPath(name)
    plain = name == path.as_posix() and ".." not in path.parts
    return plain and any(pattern.fullmatch(name) for pattern in _AS_PATTERNS) and not _excluded(path)


def bundled_files(root: Path, package: str) -> list[Path]:
    """Return the package's files that travel in the bundle, sorted, relative to root."""
    files = {path for pattern in BUNDLED if pattern.startswith(f"{package}/") for path in root.glob(pattern)}
    return sorted(path.relative_to(root) for path in files if path.is_file() and not _excluded(path))


def _excluded(path: PurePath) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in NEVER_BUNDLED) or "__pycache__" in path.parts


def _hash_package(root: Path, package: str) -> bytes:
    return _hashed_contents(_contents(root, package))


def _hashed_contents(contents: Iterable[tuple[str, bytes]]) -> bytes:
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(f"{name}|{len(content)}|".encode() + content)
    return digest.digest()


def _contents(root: Path, package: str) -> Iterator[tuple[str, bytes]]:
    for path in bundled_files(root, package):
        yield path.as_posix(), (root / path).read_bytes()


def _importable(root: Path, package: str) -> bool:
    """Return whether root shadows the package: a folder without __init__.py does not, a module of that name does."""
    return (root / package / "__init__.py").is_file() or (root / f"{package}.py").is_file()


def of_run(run: "Run", codes: Sequence[str], shapes: Mapping[str, object]) -> dict[str, str]:
    """Return the fingerprints that all sides must share before anything is trained.

    shapes: AdapterState.shapes of the first state.
    """
    from clinfed.adapters.codec import WIRE_VERSION

    quantization = run.adapter.quantization()
    use = of_use(run, codes)
    return {
        "wire": str(WIRE_VERSION),
        "code": code(),
        "base": use["base"],
        "quantisation": _hashed(quantization.to_dict()) if quantization else "none",
        "tokenizer": use["tokenizer"],
        "labels": use["labels"],
        "adapter": _hashed(shapes),
    }


def of_use(run: "Run", codes: Sequence[str]) -> dict[str, str]:
    """Return the fingerprints of what a trained adapter depends on wherever it is used."""
    from clinfed.bases import fingerprint, tokenizer_fingerprint

    return {
        "base": fingerprint(run.base),
        "tokenizer": tokenizer_fingerprint(run.base),
        "labels": _hashed(list(codes)),
    }


def mismatch(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Return both sides of the first fingerprint that differs, in the order of of_run, and what to do; "" if none."""
    for name, fingerprint in ours.items():
        if (found := theirs.get(name, "missing")) != fingerprint:
            return f"fingerprint of {name} is {found[:16]}, the server's is {fingerprint[:16]}; {REMEDIES[name]}"
    return ""


def _hashed(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
