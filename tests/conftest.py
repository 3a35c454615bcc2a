"""Fixtures that several test folders share."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clinfed.bases import Base
from clinfed.runs import record as records

if TYPE_CHECKING:
    from tests.local_grid import LocalGrid, Tamper, Watch

DATA = Path(os.environ.get("CLINFED_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_path() -> Path:
    """Return the folder of real corpora, or skip; CI fails when these tests were skipped."""
    if not (DATA / "codiesp").is_dir():
        pytest.skip("real data absent: set CLINFED_TEST_DATA to a folder that holds codiesp/")
    return DATA


@pytest.fixture(scope="session")
def codiesp_path(data_path: Path) -> Path:
    """Return the CodiEsp folder, or skip."""
    return data_path / "codiesp"


# Small architectures of every family that configs/base names; sizes are multiples of 64, the block of NF4.
FAMILIES = {
    "bert": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
    "roberta": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
    "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 2, "hidden_dim": 128},
    "deberta-v2": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
    },
    "modernbert": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        **{f"{special}_token_id": number for number, special in enumerate(("pad", "bos", "eos", "cls", "sep"))},
    },
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Return the name of each family in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def small_base() -> "Callable[..., Base]":
    """Return a function that makes a random base of a family: small_base("bert", vocab_size=300)."""

    def make(model_type: str = "modernbert", **settings: object) -> Base:
        sizes = {"model_type": model_type, "vocab_size": 300, **FAMILIES[model_type], **settings}
        return Base(name=f"small-{model_type}", config=sizes, random_init=True)

    return make


# Planted where no message, log or record may carry them: in texts, in a broken label, in file names, patients and ids.
CANARIES = ("canarytext", "CANARYLABEL", "canaryfile", "canarypatient", "canarynote")

DIAGNOSES = {
    "ca": {"diabetis": "E11.9", "asma": "J45.909", "migranya": "G43.909", "pneumònia": "J18.9"},
    "es": {"diabetes": "E11.9", "asma": "J45.909", "migraña": "G43.909", "neumonía": "J18.9"},
}
PHRASES = {
    "ca": ("Pacient canarytext amb {} des de fa anys.", "Control de {} i mal descans.", "Refereix {}, dorm bé."),
    "es": ("Paciente canarytext con {} desde hace años.", "Control de {} y mal descanso.", "Refiere {}, duerme bien."),
}


@dataclass(frozen=True)
class World:
    """Two languages' notes in files, the list of codes and a small base: enough for a run of a few seconds."""

    folder: Path
    overrides: tuple[str, ...]
    site_overrides: tuple[str, ...]  # of the same run at real sites, which read their own files
    canaries: tuple[str, ...] = CANARIES

    @property
    def labels(self) -> Path:
        return self.folder / "codes.json"

    def site_notes(self, language: str) -> Path:
        """Return one language's file: what partition=language deals to the clinic of that name."""
        return self.folder / "notes" / f"canaryfile-{language}.jsonl"

    def node_config(self, language: str) -> str:
        """Return what the SuperNode of the clinic that holds one language's file says of it."""
        return f'name="{language}" notes="{self.site_notes(language)}" labels="{self.labels}"'


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return notes of 32 patients in two languages, with canaries, on disk; one more note has a broken label."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "notes").mkdir()
    common = ("rounds=2", "adapter.r=4", "training.batch_notes=8")
    path, name = ("base=path", f"base.path={folder / 'base'}"), ("base=local", "base.name=base")
    corpus = (f"corpus.path={folder / 'notes'}", f"corpus.labels={folder / 'codes.json'}", "corpus.skip_bad=true")
    world = World(folder, ("corpus=jsonl", *corpus, *path, *common), ("corpus=jsonl", *name, *common))
    texts = []
    for number, language in enumerate(("ca", "es")):
        rows = [row for patient in range(16) for row in _patient(language, 2 * patient + number)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        world.site_notes(language).write_text("\n".join(lines) + "\n", "utf-8")
        texts += [str(row["text"]) for row in rows]
    broken = {"id": "canarynote-broken", "text": "Nota.", "spans": [{"start": 0, "end": 4, "code": "CANARYLABEL"}]}
    (folder / "notes" / "canaryfile-broken.jsonl").write_text(json.dumps(broken) + "\n", "utf-8")
    world.labels.write_text(json.dumps(sorted(set(DIAGNOSES["es"].values()))), "utf-8")
    _small_base(folder / "base", texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINFED_BASES", str(folder))  # processes that a test starts inherit it
        yield world


def _patient(language: str, number: int) -> Iterator[dict[str, object]]:
    words = list(DIAGNOSES[language])
    for visit in range(5):
        word = words[(number + visit) % len(words)]
        text = PHRASES[language][(number * visit) % 3].format(word)
        start = text.index(word)
        span = {"start": start, "end": start + len(word), "code": DIAGNOSES[language][word]}
        ids = {"id": f"canarynote-{number}-{visit}", "patient": f"canarypatient{number}"}
        yield {**ids, "text": text, "language": language, "spans": [span]}


def _small_base(folder: Path, texts: list[str]) -> None:
    """Write a random ModernBERT of 2 layers x 64 with a word-piece vocabulary of the texts.

    Characters and every second word: a trained vocabulary differs from process to process where counts are equal.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

    specials = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    splitter = pre_tokenizers.BertPreTokenizer()
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})
    characters = sorted(set("".join(words)))
    pieces = [*specials.values(), *characters, *(f"##{each}" for each in characters), *words[::2]]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    assert len(vocabulary) <= 300
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)
    torch.manual_seed(0)
    ModernBertModel(ModernBertConfig(vocab_size=300, **FAMILIES["modernbert"])).save_pretrained(folder)


SCRIPTS = Path(sys.executable).parent
FOREIGN = "raise RuntimeError('code of another project was imported')\n"
LIMIT_S = 400  # for one run; seconds on an idle machine


@dataclass
class Finished:
    """A run that has ended, with what it printed and wrote."""

    code: int
    out: str
    err: str
    home: Path  # its CLINFED_HOME
    folders: list[Path] = field(default_factory=list)  # that Flower and Ray wrote to

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out.splitlines()[-1]))

    @property
    def record(self) -> Any:
        [path] = self.home.glob("runs/*/record.json")
        return records.read(path)


@pytest.fixture(scope="session")
def short() -> Iterator[Path]:
    """Yield a folder with a short path, as Ray's sockets need; a parallel pytest's own folders are deeper."""
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def foreign(short: Path) -> Path:
    """Return a folder with packages of another project that are named like ours; importing one fails."""
    folder = short / "other"
    for package in ("client", "server", "configs"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(FOREIGN, "utf-8")
    return folder


@pytest.fixture(scope="session")
def finish() -> Callable[..., Finished]:
    """Return a function that runs a command of this environment to its end."""

    def run(
        *command: str, home: Path, cwd: Path, environment: dict[str, str], folders: Sequence[Path] = ()
    ) -> Finished:
        arguments = [str(SCRIPTS / command[0]), *command[1:]]
        variables = {**os.environ, **environment, "CLINFED_HOME": str(home)}
        done = subprocess.run(arguments, cwd=cwd, env=variables, capture_output=True, text=True, timeout=LIMIT_S)
        return Finished(done.returncode, done.stdout, done.stderr, home, list(folders))

    return run


@pytest.fixture(scope="session")
def simulated(world: World, short: Path, foreign: Path, finish: Callable[..., Finished]) -> Finished:
    """Return `clinfed simulate --json`, started inside another project's folder."""
    return finish("clinfed", "simulate", "--json", *world.overrides, home=short / "a", cwd=foreign, environment={})


@pytest.fixture
def run_locally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Callable[..., tuple[dict[str, Any], LocalGrid]]":
    """Return a function that runs the server's app to its end in this process; it gives run record and grid."""
    from flwr.app import Context, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    import clinfed.clinic.cache
    from server.app import FlowerBackend, coordinate, read_run
    from tests.local_grid import LocalGrid

    for name in ("task_id", "run_id", "node_id"):
        monkeypatch.setattr(TaskIdentity, f"_{name}", 1)
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(
        overrides: Sequence[str],
        *,
        nodes: int = 2,
        tamper: "Tamper | None" = None,
        watch: "Watch | None" = None,
        first: Sequence[int] = (),
        output: Path | None = None,
    ) -> tuple[dict[str, Any], LocalGrid]:
        monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)
        output = output or tmp_path / "output"
        config = {"overrides": " ".join([*overrides, f"output={output}"])}
        grid = LocalGrid(nodes, config, tamper, watch)
        grid.nodes = list(first) or grid.nodes
        before = set(output.glob("*/record.json"))
        coordinate(FlowerBackend(grid), read_run(Context(1, 1, {}, RecordDict(), config)))
        [path] = set(output.glob("*/record.json")) - before
        return records.read(path) | {"folder": path.parent}, grid

    return run
