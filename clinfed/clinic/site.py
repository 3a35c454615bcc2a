"""A real site's own settings: site.toml, which no coordinator can set, or the same keys in Flower's node_config."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clinfed.clinic.policy import Policy
from clinfed.errors import UserError
from clinfed.protocol import LONGEST_NAME
from clinfed.refusals import RefusedError
from clinfed.settings import unknown

PARTITION, PARTITIONS = "partition-id", "num-partitions"  # Flower sets them on simulated nodes only

NodeConfig = Mapping[str, str | int | float | bool]

QUANTISATIONS = ("any", "none", "nf4")
APPROVALS = ("none", "each")
INLINE = ("notes", "name", "format", "labels")  # what node_config may say without a settings file
# All that shapes a site's clinic.
HELD = (
    "notes",
    "format",
    "labels",
    "skip_bad",
    "name",
    "small_cell_threshold",
    "policy",
)
EXPECTED = {str: "a text in quotes", int: "a whole number from 0", bool: "true or false", tuple: "a list of texts"}


@dataclass(frozen=True)
class Site:
    """What a site holds and what it allows. A key that is left out sets no limit, but allowed_code of a file.

    None as a list allows all; an empty list allows nothing.
    """

    notes: str = ""  # file or folder, absolute
    name: str = ""  # the clinic's name in records and seeds; "": one made from a hash of the path of notes
    format: str = "jsonl"
    labels: str = ""  # the site's copy of the list of codes that all sides share, absolute; "": the corpus' public one
    skip_bad: bool = False  # leave faulty notes out and count them, instead of refusing to start
    key: str = ""  # file of the key that signs this site's answers; "": they are not signed
    operator: str = ""  # file of the public key that signs manifests; "": runs need none
    approval: str = "none"  # "each": a manifest must be approved here before its run starts
    device: str = ""  # the site's choice, for all runs: cpu, cuda or cuda:N; "": the run's
    batch_notes: int = 0  # cap on windows of 256 sub-words in a batch; 0: none
    quantisation: str = "any"  # of the base in memory: "none" (float32), "nf4" (4 bits), or as the run asks
    rank_cap: int = 0  # cap on adapter.r; full fine-tuning is above every cap; 0: none
    allowed_code: tuple[str, ...] | None = None  # fingerprints of code that may run
    allowed_experiments: tuple[str, ...] | None = None  # "default" is a run without experiment
    small_cell_threshold: int = 0  # counts name no code that fewer patients have; 0: all
    policy: Policy | None = None  # floors that no run can loosen; None, of node_config: none is applied
    file: str = ""  # where this stands, for messages; "" is node_config

    def __post_init__(self) -> None:
        from configs import options

        if not Path(self.notes).is_absolute():
            found = f"notes is {self.notes!r}, expected an absolute path" if self.notes else "notes is missing"
            raise UserError(f'{self.where}: {found}; give the file or folder of this site: notes = "/path/notes.jsonl"')
        if self.labels and not Path(self.labels).is_absolute():
            raise UserError(f"{self.where}: labels is {self.labels!r}, expected an absolute path; give it in full")
        if len(self.name) > LONGEST_NAME or not self.name.isprintable():
            expected = f"at most {LONGEST_NAME} characters that can be printed"
            raise UserError(f"{self.where}: name is {self.name!r}, expected {expected}; choose another")
        if self.format not in (forms := [form for form in options("corpus") if form != "synthetic"]):
            raise UserError(f"{self.where}: format is {self.format!r}, expected one of {', '.join(forms)}; correct it")
        if self.quantisation not in QUANTISATIONS:
            expected = ", ".join(QUANTISATIONS)
            raise UserError(f"{self.where}: quantisation is {self.quantisation!r}, expected one of {expected}")
        if self.approval not in APPROVALS or (self.approval != "none" and not self.operator):
            expected = f"one of {', '.join(APPROVALS)}, and for {APPROVALS[1]} also operator, the key of manifests"
            raise UserError(f"{self.where}: approval is {self.approval!r}, expected {expected}; correct it")
        kind, _, number = self.device.partition(":")
        if kind not in ("", "cpu", "cuda") or (":" in self.device and not (kind == "cuda" and number.isdecimal())):
            raise UserError(f"{self.where}: device is {self.device!r}, expected cpu, cuda or cuda:0")

    @property
    def where(self) -> str:
        """Return where a user finds these settings."""
        return self.file or "node_config"

    @property
    def called(self) -> str:
        """Return the clinic's name; one made of a hash where it has none, as the path may name a patient."""
        return self.name or f"site-{hashlib.sha256(self.notes.encode()).hexdigest()[:8]}"

    @property
    def least_in_a_cell(self) -> int:
        """Return the number of patients below which nothing is named: the larger of policy's and site's."""
        return max(self.small_cell_threshold, self.policy.small_cell_threshold if self.policy else 0)

    @property
    def held(self) -> tuple[object, ...]:
        """Return the settings whose change makes the clinic read its notes again."""
        return tuple(getattr(self, key) for key in HELD)


def of_node(node_config: NodeConfig) -> Site:
    """Return the settings of a real node: those of the file that settings= names, else the node_config's own keys.

    Raises: RefusedError("settings") where they are not right: without settings nothing runs.
    """
    try:
        if "settings" not in node_config:
            given: dict[str, Any] = {key: str(node_config[key]) for key in INLINE if key in node_config}
            return Site(**given)
        if twice := [key for key in INLINE if key in node_config]:
            raise UserError(f"node_config: settings and {twice[0]} are both given; give {twice[0]} in the file only")
        return read(Path(str(node_config["settings"])))
    except UserError as error:
        raise RefusedError("settings", str(error)) from None


def read(path: Path) -> Site:
    """Return the settings of a file. Raises: UserError naming the key, what was found and what was expected."""
    if not path.is_absolute():
        raise UserError(f"settings={path}: expected an absolute path; a SuperNode runs in a folder of its own")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        place = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise UserError(f"{path}: cannot be read as TOML ({type(error).__name__}{place}); correct the file") from None
    policy = _policy(path, values.pop("policy", {}))
    kinds = {field.name: type(field.default) for field in fields(Site) if field.name not in ("file", "policy")}
    kinds |= {"allowed_code": tuple, "allowed_experiments": tuple}
    checked = {key: _checked(path, key, value, kinds) for key, value in values.items()}
    if "allowed_code" not in checked:
        raise UserError(f"{path}: allowed_code is missing; list the code that may run here, or [] to allow none yet")
    for name in ("key", "operator"):  # beside the file: in a container the folder may lie elsewhere
        if checked.get(name):
            checked[name] = str(path.parent / checked[name])
    return Site(**checked, policy=policy, file=str(path))


def _policy(path: Path, values: Any) -> Policy:
    """Return the policy of the table [policy]; what it leaves out, and a missing table, have the default."""
    if not isinstance(values, dict):
        raise UserError(f"{path}: policy is {values!r}, expected a table: [policy] on a line of its own")
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Policy)}
    return Policy(**{key: _checked(path, key, value, kinds) for key, value in values.items()})


def _checked(path: Path, key: str, value: Any, kinds: Mapping[str, type]) -> Any:
    """Return the value as Site holds it."""
    if key not in kinds:
        raise UserError(f"{path}: {unknown(key, kinds)}")
    if kinds[key] is tuple and isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    # bool is an int to Python, but no number here.
    if type(value) is not kinds[key] or (type(value) is int and value < 0):
        raise UserError(f"{path}: {key} is {value!r}, expected {EXPECTED[kinds[key]]}; correct the file")
    return value
