"""Documents a second of `clinfed predict` beside transformers' token-classification pipeline, same model, same notes.

    python benchmarks/predict_throughput.py [--adapter RUN] [--notes FILE.jsonl] [--count 400] [--threads 1]

Without a run, which must be of task=jerl, an adapter on the embedded base is drawn by chance: its pace is a trained
one's, its findings are not. The pipeline gets the same encoder with the adapter merged into its weights, the same head,
as many threads, all texts at once, and its best of batch 1, 8 and 32, in its default float32 and in bfloat16. Its time
is that of the pipeline alone, in a process that is warm. That of `clinfed predict` also holds reading the notes and
writing the spans, once in this process and once as the command, a new process each time, by its own summary. Loading is
left out everywhere. The sides take turns; the median turn counts, and in each turn the fastest pipeline. Processor
seconds say more where other programs run. Exit code 1 where the command is below --bar times the pipeline at its best.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, TokenClassificationPipeline
from transformers.modeling_outputs import TokenClassifierOutput

from clinfed import fingerprints
from clinfed.adapters import folder as folders
from clinfed.adapters.card import Card
from clinfed.corpus.note import Note
from clinfed.corpus.readers import jsonl
from clinfed.corpus.splits import split_of
from clinfed.corpus.synthetic import codes, generate
from clinfed.corpus.writers import write_jsonl
from clinfed.experiments.adapted import open_adapter
from clinfed.experiments.predict import Predictor
from clinfed.training.model import build, trainable_weights
from configs import load
from configs.portable import portable

BATCHES = (1, 8, 32)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMMAND, HERE = "clinfed predict", "the same, here"
WARM_UP = 16  # notes, before any time is taken
OUTSIDE = 3.2  # added to the drawn head's O: about as many mentions are found as the invented corpus has


class Took(NamedTuple):
    """Seconds by the wall clock, and of this process on the processor (0 for another process)."""

    wall: float
    processor: float


class MergedTagger(PreTrainedModel):
    """The adapter merged into its encoder and the flat head, as any model for token classification."""

    config_class = PretrainedConfig
    _supports_sdpa = True

    def __init__(self, config: PretrainedConfig, encoder: nn.Module, layer: nn.Linear) -> None:
        super().__init__(config)
        self.encoder, self.layer = encoder, layer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> TokenClassifierOutput:
        """Return logits. Shapes: input_ids, attention_mask (B, T); logits (B, T, L)."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return TokenClassifierOutput(logits=self.layer(hidden))


def main() -> int:
    """Measure, print, and compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", type=Path, help="a run of task=jerl, or its adapter; by default one is drawn")
    parser.add_argument("--notes", type=Path, help="JSONL; by default test notes of the invented corpus")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bar", type=float, default=2.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)  # it knows no model of this name
    notes = jsonl.read(args.notes) if args.notes else (note for note in generate() if split_of(note) == "test")
    chosen = list(islice(notes, args.count))
    with tempfile.TemporaryDirectory() as folder:
        adapter = args.adapter or drawn(Path(folder, "adapter"))
        write_jsonl(chosen, Path(folder, "notes.jsonl"))
        sides = sides_of(adapter, chosen, Path(folder, "notes.jsonl"), args.threads)
        took: dict[str, list[Took]] = {name: [] for name in sides}
        for _ in range(args.repeats):
            for name, side in sides.items():
                took[name].append(side())
    return report(took, len(chosen), args)


def drawn(folder: Path) -> Path:
    """Return the folder after writing an adapter on the embedded base into it, drawn by chance but for the head's O."""
    run = load(["task=jerl"])
    tagger = build(run.base, run.adapter, run.task, len(codes()), seed=0)
    with torch.no_grad():
        for parameter in trainable_weights(tagger.encoder):
            parameter.normal_(std=0.02)  # LoRA's B would be 0
        tagger.head["tag"].bias[0] += OUTSIDE
    card = Card(run.base.public_name, run.base.revision, run.options["adapter"], run.options["task"])
    folders.save(folder, tagger, codes=codes(), card=card)
    folders.save_settings(folder, portable(run), fingerprints.of_use(run, codes()))
    return folder


def sides_of(adapter: Path, notes: list[Note], path: Path, threads: int) -> dict[str, Callable[[], Took]]:
    """Return what is compared, by name and in turn; each is warm but for the command. path: a file of the notes."""
    predictor = Predictor.load(open_adapter(adapter), threads=threads)
    if "tag" not in predictor.tagger.head:
        sys.exit("the adapter is not of task=jerl, which alone a token classifier can be")
    texts = [note.text for note in notes]
    list(predictor.predict(notes[:WARM_UP]))
    sides = {COMMAND: partial(command, adapter, path, threads), HERE: partial(ours, predictor, path)}
    for name, dtype in DTYPES.items():
        pipeline = pipeline_of(predictor, dtype)
        theirs(pipeline, texts[:WARM_UP], 1, threads)
        sides |= {f"{name} batch {batch}": partial(theirs, pipeline, texts, batch, threads) for batch in BATCHES}
    return sides


def pipeline_of(predictor: Predictor, dtype: torch.dtype) -> TokenClassificationPipeline:
    """Return transformers' pipeline with the same weights; attention by its own default kernels."""
    tagger = predictor.adapted.tagger()
    encoder = tagger.encoder.merge_and_unload()
    encoder.set_attn_implementation("sdpa")
    tags = ["O", *(f"{kind}-{code}" for code in predictor.adapted.codes for kind in "BI")]
    config = encoder.config
    config.id2label = dict(enumerate(tags))
    config.label2id = {tag: i for i, tag in enumerate(tags)}
    model = MergedTagger(config, encoder, tagger.head["tag"]).to(dtype).eval()
    # The stride is for notes that are longer than the base reads at once.
    return TokenClassificationPipeline(
        model=model, tokenizer=predictor.tokenizer, aggregation_strategy="simple", stride=64, device=torch.device("cpu")
    )


@contextmanager
def timed() -> Iterator[list[Took]]:
    """Give a list to which the time of the block is added at its end."""
    times: list[Took] = []
    started = Took(time.perf_counter(), time.process_time())
    yield times
    times.append(Took(time.perf_counter() - started.wall, time.process_time() - started.processor))


def command(adapter: Path, notes: Path, threads: int) -> Took:
    """Return the time that the command's summary gives, from the first note read to the last one written."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--adapter", adapter, "--notes", notes, "--out", Path(folder, "found.jsonl"), "--threads", threads]
        done = subprocess.run(
            [sys.executable, "-m", "clinfed.cli", "predict", *map(str, words), "--json"],
            stdout=subprocess.PIPE,
            check=True,
        )
    return Took(json.loads(done.stdout.splitlines()[-1])["seconds"], 0.0)


def ours(predictor: Predictor, notes: Path) -> Took:
    """Return the time of reading, tagging and writing, as the command does it."""
    with tempfile.TemporaryDirectory() as folder, timed() as times:
        write_jsonl(predictor.predict(jsonl.read(notes)), Path(folder, "found.jsonl"))
    return times[0]


def theirs(pipeline: TokenClassificationPipeline, texts: list[str], batch: int, threads: int) -> Took:
    """Return the time of the pipeline on the texts."""
    torch.set_num_threads(threads)  # `ours` leaves another number
    with torch.inference_mode(), timed() as times:
        found = pipeline(texts, batch_size=batch)
    assert len(found) == len(texts)
    return times[0]


def report(took: dict[str, list[Took]], count: int, args: argparse.Namespace) -> int:
    """Print a line each and the ratios; return 1 where the command's is below the bar."""
    seconds = {name: [median(each) for each in zip(*repeats, strict=True)] for name, repeats in took.items()}
    for name, (wall, processor) in seconds.items():
        print(f"{name:18} {wall:8.2f} s {count / wall:8.1f} documents/s {processor:8.2f} processor s")
    ratios = {}
    best_of_turn = [list(map(min, zip(*turn, strict=True))) for turn in zip(*pipelines(took), strict=True)]
    for place, clock, side in ((0, "wall", COMMAND), (0, "wall", HERE), (1, "processor", HERE)):
        each = [best[place] / own[place] for best, own in zip(best_of_turn, took[side], strict=True)]
        ratios[f"{side}, {clock}"] = median(each)
        turns = ", ".join(f"{ratio:.2f}" for ratio in each)
        print(f"{side}, {clock}: {median(each):.2f} times the pipeline at its best in the same turn ({turns})")
    print(json.dumps({"ratios": ratios, "notes": count, "threads": args.threads, "took": took}))
    return 0 if ratios[f"{COMMAND}, wall"] >= args.bar else 1


def pipelines(took: dict[str, list[Took]]) -> list[list[Took]]:
    """Return the turns of each pipeline."""
    return [turns for name, turns in took.items() if name not in (COMMAND, HERE)]


if __name__ == "__main__":
    sys.exit(main())
