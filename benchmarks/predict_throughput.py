"""Documents a second of `clinfed predict` beside transformers' token-classification pipeline, same model, same notes.

    python benchmarks/predict_throughput.py --adapter RUN [--notes FILE.jsonl] [--count 400] [--threads 1]

The run must be of task=jerl. The pipeline gets the same encoder with the adapter merged into its weights, the same
head, all texts at once, and its best of batch 1, 8 and 32, in float32 and in bfloat16. Its time is that of the pipeline
alone; that of `clinfed predict` also holds reading the notes and writing the spans. Loading is left out on both sides.
The repetitions alternate, and each side keeps its fastest. Wall clock and processor seconds are both shown: on a busy
machine the latter say more. Exit code 1 where the ratio of the wall clock is below --bar.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, TokenClassificationPipeline
from transformers.modeling_outputs import TokenClassifierOutput

from clinfed.cli.adapted import open_adapter
from clinfed.cli.predict import Predictor
from clinfed.corpus.note import Note
from clinfed.corpus.readers import jsonl
from clinfed.corpus.splits import split_of
from clinfed.corpus.synthetic import generate
from clinfed.corpus.writers import write_jsonl

BATCHES = (1, 8, 32)
WARM_UP = 16  # notes, before any time is taken
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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


def main() -> int:
    """Measure, print, and compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--notes", type=Path, help="JSONL; by default test notes of the invented corpus")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bar", type=float, default=2.0)
    args = parser.parse_args()
    notes = list(jsonl.read(args.notes)) if args.notes else [n for n in generate() if split_of(n) == "test"]
    notes = notes[: args.count]
    predictor = Predictor.load(open_adapter(args.adapter), threads=args.threads)
    if "tag" not in predictor.adapted.tagger().head:
        sys.exit("the adapter is not of task=jerl, which alone a token classifier can be")
    warnings.simplefilter("ignore")
    pipelines = {name: pipeline_of(predictor, dtype) for name, dtype in DTYPES.items()}
    torch.set_num_threads(args.threads)
    ours(predictor, notes[:WARM_UP])  # the first calls make kernels
    for pipeline in pipelines.values():
        theirs(pipeline, notes[:WARM_UP], 1)
    took: dict[str, list[Took]] = {}
    for _ in range(args.repeats):
        took.setdefault("clinfed", []).append(ours(predictor, notes))
        for name, pipeline in pipelines.items():
            for batch in BATCHES:
                took.setdefault(f"{name} batch {batch}", []).append(theirs(pipeline, notes, batch))
    return report(took, len(notes), args)


class Took(NamedTuple):
    """Seconds by the wall clock, and of this process on the processor."""

    wall: float
    processor: float


@contextmanager
def timed() -> Iterator[list[Took]]:
    """Give a list to which the time of the block is added at its end."""
    times: list[Took] = []
    started = Took(time.perf_counter(), time.process_time())
    yield times
    times.append(Took(time.perf_counter() - started.wall, time.process_time() - started.processor))


def ours(predictor: Predictor, notes: list[Note]) -> Took:
    """Return the time of reading, tagging and writing, as `clinfed predict` does it."""
    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(notes, Path(folder, "notes.jsonl"))
        with timed() as times:
            write_jsonl(predictor.predict(jsonl.read(Path(folder, "notes.jsonl"))), Path(folder, "found.jsonl"))
    return times[0]


def theirs(pipeline: TokenClassificationPipeline, notes: list[Note], batch: int) -> Took:
    """Return the time of the pipeline on the texts."""
    with torch.inference_mode(), timed() as times:
        found = pipeline([note.text for note in notes], batch_size=batch)
    assert len(found) == len(notes)
    return times[0]


def report(took: dict[str, list[Took]], count: int, args: argparse.Namespace) -> int:
    """Print a line each and the ratios; return 1 where that of the wall clock is below the bar."""
    ratios = {}
    for clock in Took._fields:
        seconds = {name: min(getattr(each, clock) for each in repeats) for name, repeats in took.items()}
        for name, each in seconds.items():
            print(f"{clock:10} {name:18} {each:8.2f} s {count / each:8.1f} documents/s")
        best = min((name for name in seconds if name != "clinfed"), key=seconds.__getitem__)
        ratios[clock] = seconds[best] / seconds["clinfed"]
        print(f"{clock:10} clinfed predict is {ratios[clock]:.2f} times the pipeline at its best ({best})")
    print(json.dumps({"ratios": ratios, "notes": count, "threads": args.threads, "took": took}))
    return 0 if ratios["wall"] >= args.bar else 1


if __name__ == "__main__":
    sys.exit(main())
