"""Who may import whom: the table, and the test that the code keeps to it."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("clinfed", "client", "clinfed_tiny", "configs", "partitions", "server", "strategies")
TENSORS = "torch transformers tokenizers peft bitsandbytes accelerate safetensors huggingface_hub"
# package or module: (of ours, others anywhere, others inside functions or for types only); the longest name counts.
# All may import the standard library, themselves, clinfed.errors, clinfed.disk and clinfed.settings; nobody but
# clinfed.__main__ imports clinfed.cli. A comment says why a row is wider or narrower than its role alone would ask.
TABLE = {
    "clinfed.errors": ("", "", ""),
    "clinfed.disk": ("", "", ""),
    "clinfed.settings": ("", "", ""),
    "clinfed.__main__": ("clinfed.cli", "", ""),
    "clinfed.home": ("", "", "platformdirs"),
    "clinfed.refusals": ("", "", ""),
    "clinfed.fingerprints": ("clinfed.bases clinfed.adapters configs", "", "torch"),
    "clinfed.signatures": ("clinfed.protocol clinfed.runs.backend", "", "cryptography"),
    "clinfed.manifests": ("clinfed.signatures", "", ""),
    "clinfed.protocol": ("clinfed.evaluation.base", "numpy", ""),
    # A note that says no language is given one by lingua, loaded only then; offsets need no numpy.
    "clinfed.corpus": ("", "", "lingua"),
    "clinfed.evaluation": ("clinfed.corpus", "numpy", ""),
    # The page shows what records hold, so only the report may read them; the scorer may not.
    "clinfed.evaluation.report": (
        "clinfed.corpus clinfed.evaluation clinfed.runs",
        "",
        "matplotlib jinja2 markupsafe",
    ),
    # torch: asked for its version and devices by a record, and as the writer of tensorboard's files; no tensor is made.
    "clinfed.runs": (
        "clinfed.adapters clinfed.evaluation clinfed.home clinfed.protocol configs strategies.base",
        "numpy",
        "torch mlflow safetensors",
    ),
    "partitions": ("clinfed.corpus", "numpy", ""),
    "strategies": ("clinfed.adapters.state clinfed.adapters.update", "numpy", ""),
    # Counts are of spans, and a site's counts leave out small cells: a task asks the one scorer for both.
    "clinfed.tasks": (
        "clinfed.corpus clinfed.evaluation.base clinfed.evaluation.counts clinfed.evaluation.spans "
        "clinfed.evaluation.small_cells clinfed.evaluation.scores",
        "numpy",
        "torch transformers",
    ),
    "clinfed.bases": ("clinfed.home", "", TENSORS),
    # An adapter names the layers of its base, and whether the base is quantised.
    "clinfed.adapters": ("clinfed.bases", "numpy", TENSORS),
    "clinfed.adapters.state": ("", "numpy", ""),
    "clinfed.adapters.update": ("clinfed.adapters.state", "", ""),
    "clinfed.adapters.codec": ("clinfed.adapters.state", "numpy safetensors", ""),
    # datasets and filelock: the cache of encoded notes on disk, which several processes share.
    "clinfed.training": (
        "clinfed.corpus clinfed.tasks clinfed.bases clinfed.adapters clinfed.refusals",
        "numpy torch",
        f"{TENSORS} datasets filelock",
    ),
    # Settings and schedules are part of a run, which is loaded without torch.
    "clinfed.training.settings": ("", "", ""),
    "clinfed.training.schedules": ("clinfed.training.settings", "", ""),
    # A probe measures a step of the one training loop.
    "clinfed.probes": (
        "clinfed.tasks clinfed.bases clinfed.adapters clinfed.training",
        "torch",
        "psutil",
    ),
    "clinfed.baselines": ("clinfed.corpus clinfed.tasks clinfed.evaluation", "numpy", ""),
    "clinfed.baselines.settings": ("", "", ""),
    "configs": (
        "clinfed.corpus clinfed.bases clinfed.adapters clinfed.tasks clinfed.training.settings "
        "clinfed.training.schedules clinfed.refusals clinfed.baselines.settings partitions strategies",
        "hydra omegaconf",
        "",
    ),
    "clinfed.checks": (
        "clinfed.corpus clinfed.tasks clinfed.bases clinfed.training.device",
        "",
        "torch bitsandbytes packaging cryptography",
    ),
    "clinfed.checks.holdings": (
        "clinfed.checks clinfed.clinic.policy clinfed.refusals clinfed.corpus clinfed.tasks clinfed.bases",
        "",
        "",
    ),
    "clinfed.checks.site_log": ("clinfed.checks clinfed.clinic clinfed.protocol clinfed.refusals", "", ""),
    # A site as it would join: read as its clinic does, its key asked about as Flower's transport does.
    "clinfed.checks.site": (
        "clinfed.checks clinfed.clinic clinfed.fingerprints clinfed.home clinfed.signatures client.enrolment configs",
        "",
        "",
    ),
    # partitions: a simulated clinic is dealt its notes here. runs: a message's shape, no record.
    "clinfed.clinic": (
        "clinfed.adapters clinfed.baselines clinfed.bases clinfed.corpus clinfed.evaluation clinfed.fingerprints "
        "clinfed.home clinfed.manifests clinfed.probes clinfed.protocol clinfed.refusals clinfed.runs.backend "
        "clinfed.signatures clinfed.tasks clinfed.training configs partitions strategies.base",
        "",
        "torch filelock",
    ),
    # flwr stands in the three modules of Flower's transport, not in the protocol that the local one shares.
    "clinfed.backends": ("clinfed.clinic clinfed.runs", "", ""),
    "clinfed.backends.flower": ("clinfed.backends clinfed.runs clinfed.protocol", "flwr", ""),
    "clinfed.backends.flower_pull": ("clinfed.protocol", "flwr", ""),
    "clinfed.backends.records": ("clinfed.runs clinfed.protocol", "flwr", ""),
    # Narrower than its role: what a clinic does stands in clinfed.clinic, and the client only carries it.
    "client": (
        "clinfed.backends.records clinfed.clinic clinfed.fingerprints clinfed.home clinfed.protocol "
        "clinfed.refusals clinfed.runs.backend",
        "flwr",
        "",
    ),
    # A clinic's state on its own disk, in safetensors' format.
    "clinfed.clinic.states": (
        "clinfed.home clinfed.adapters.state clinfed.adapters.update strategies.base",
        "",
        "safetensors",
    ),
    "clinfed.clinic.ledger": ("clinfed.clinic.chain clinfed.home clinfed.protocol clinfed.refusals configs", "", ""),
    "clinfed.clinic.chain": ("clinfed.refusals", "", "filelock"),
    # Asks the coordinator in Flower's own words.
    "client.enrolment": ("", "", "flwr httpx cryptography"),
    "server": (
        "configs strategies clinfed.tasks clinfed.training clinfed.adapters clinfed.evaluation clinfed.fingerprints "
        "clinfed.protocol clinfed.refusals clinfed.home clinfed.manifests clinfed.runs clinfed.signatures",
        "numpy",
        "",
    ),
    # The one file of the coordinator that reads notes: a public test set of its own.
    "server.central": (
        "clinfed.adapters clinfed.bases clinfed.corpus clinfed.evaluation clinfed.home clinfed.protocol "
        "clinfed.training configs",
        "",
        "",
    ),
    "server.app": ("clinfed.backends.flower clinfed.fingerprints configs server", "flwr", ""),
    "clinfed.deploy": ("", "cryptography", "jinja2"),
    "clinfed.deploy.gate": ("clinfed.deploy", "httpx", ""),
    "clinfed.deploy.visit": ("", "h11", ""),
    "clinfed.review": ("clinfed.corpus clinfed.evaluation", "starlette uvicorn", ""),
    # The coordinator's parts, not its Flower app alone: a plain loop chooses, advises and saves as the federation does.
    "clinfed.experiments": (
        "clinfed configs partitions strategies server",
        "numpy torch",
        f"{TENSORS} optuna pandas psutil tqdm yaml",
    ),
    "clinfed.cli": (
        "clinfed configs partitions strategies server client",
        "numpy torch",
        f"{TENSORS} platformdirs optuna psutil shtab tqdm yaml",
    ),
}


def modules() -> list[str]:
    """Return the dotted names of all modules but the empty top of the package."""
    paths = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if name not in ("clinfed", "clinfed_tiny")]


def inside(name: str, packages: list[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def row_of(module: str) -> str:
    return max((package for package in TABLE if inside(module, [package])), key=len)


def imports(node: ast.AST, lazy: bool = False) -> list[tuple[str, bool]]:
    """Return (imported name, whether inside a function or under TYPE_CHECKING) for all imports below a node."""
    found: list[tuple[str, bool]] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found += [(alias.name, lazy) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute, so that this table can be read"
            found += [(f"{child.module}.{alias.name}", lazy) for alias in child.names]
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        found += imports(child, lazy or typing_only or isinstance(child, ast.FunctionDef))
    return found


def is_allowed(module: str, name: str, lazy: bool) -> bool:
    ours, anywhere, inside_functions = (part.split() for part in TABLE[row_of(module)])
    top = name.split(".")[0]
    if top in OURS:
        is_cli = inside(name, ["clinfed.cli"]) and not inside(module, ["clinfed.cli", "clinfed.__main__"])
        return not is_cli and inside(
            name, [*ours, row_of(module), "clinfed.errors", "clinfed.disk", "clinfed.settings", "clinfed_tiny"]
        )
    return top in sys.stdlib_module_names or top in anywhere or (lazy and top in inside_functions)


@pytest.mark.parametrize("module", modules())
def test_imports_keep_to_the_table(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    wrong = [name for name, lazy in imports(ast.parse(path.read_text("utf-8"))) if not is_allowed(module, name, lazy)]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "name", "lazy"),
    [
        ("clinfed.corpus.note", "numpy", False),
        ("partitions.iid", "clinfed.adapters.state", False),
        ("strategies.fedavg", "clinfed.adapters.codec", False),
        ("clinfed.tasks.tagging.flat", "torch", False),  # at the top, it would load torch to list the options
        ("server.rounds", "clinfed.corpus.note", False),
        ("server.rounds", "clinfed.clinic.data", False),
        ("clinfed.training.loop", "flwr", True),
        ("client.app", "omegaconf", False),
        ("client.app", "clinfed.cli.main", True),
        ("client.app", "clinfed.corpus.note", True),  # the client carries messages; clinfed.clinic reads notes
        ("server.rounds", "client.relay", True),
        ("clinfed.runs.record", "flwr", True),
        ("clinfed.clinic.answers", "clinfed.runs.record", True),
    ],
)
def test_the_table_refuses(module: str, name: str, lazy: bool) -> None:
    assert not is_allowed(module, name, lazy)
