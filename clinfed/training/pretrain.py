"""Masked language modelling of the embedded tiny base: architecture, loop, held-out perplexity.

Its loop is not clinfed.training.loop: that one trains an adapter for whole epochs of a clinic's notes, in batches by
length, with one AdamW. A base is made by steps that do not end at an epoch, on packed rows, with two optimisers at
rates of their own. Every weight is trained, also the vocabulary layer. To adapt an existing base to notes, use
task=mlm, which the one loop trains.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clinfed.errors import UserError
from clinfed.settings import MOST_RATE, MOST_SEED, setting
from clinfed.training.masking import HELD_OUT_EVERY, batches_forever, held_out_split, mask_tokens, pack
from clinfed.training.model import autocast
from clinfed.training.tokenizer import train_tokenizer

FACTS = "pretraining.json"  # what a base's folder says of its making


@dataclass(frozen=True)
class PretrainSettings:
    """What defines a pretraining run; written into the model card."""

    vocab_size: int = setting(8_192, help="sub-words of the vocabulary", least=100, most=1_000_000)
    hidden_size: int = setting(256, help="width of a layer, a multiple of heads", least=1, most=65_536)
    layers: int = setting(4, help="number of layers", least=1, most=1_000)
    heads: int = setting(4, help="attention heads of a layer", least=1, most=1_024)
    intermediate_size: int = setting(512, help="width inside a layer", least=1, most=1_000_000)
    rope_theta: float = setting(1_000.0, help="base of the rotary positions", above=0, most=1e9)
    tokens_per_row: int = setting(
        64, help="short rows suit short notes: attention stays cheap", least=4, most=1_024, unit="sub-words"
    )
    rows_per_step: int = setting(32, help="size of a batch", least=1, most=65_536, unit="rows")
    steps: int = setting(8_000, help="length of the training", least=1, most=1_000_000_000)
    learning_rate: float = setting(
        2e-3, help="AdamW's: embeddings, norms and the vocabulary layer", least=0, most=MOST_RATE
    )
    matrix_learning_rate: float = setting(4e-3, help="Muon's: the encoder layers' matrices", least=0, most=MOST_RATE)
    warmup: float = setting(0.03, help="part of the steps", least=0, below=1, unit="fraction")
    weight_decay: float = setting(0.05, help="AdamW's", least=0, most=100)
    matrix_weight_decay: float = setting(
        0.3,
        help="Muon's: with little of it the matrices grow, attention becomes one-hot, and no adapter can move it",
        least=0,
        most=100,
    )
    masked: float = setting(0.3, help="part of the tokens", above=0, below=1, unit="fraction")
    begun_share: float = setting(
        0.5,
        help="of the base that training began with, in the final weights; without one: none",
        least=0,
        most=1,
        unit="fraction",
    )
    seed: int = setting(0, help="of all that is drawn", least=0, most=MOST_SEED)
    threads: int = setting(2, help="of the process", least=1, most=1_024)


def build_model(settings: PretrainSettings, vocab_size: int) -> nn.Module:
    """Return a small ModernBERT with its masked-language-modelling head, all layers attending globally.

    Pre-norm and rotary positions: at this size a post-norm BERT stays on the unigram plateau for thousands of steps.
    """
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        vocab_size=vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        layer_types=["full_attention"] * settings.layers,
        rope_parameters={  # notes are short: slow rotations would spend dimensions on distances that do not occur
            "full_attention": {"rope_type": "default", "rope_theta": settings.rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": settings.rope_theta},
        },
        max_position_embeddings=1024,
        pad_token_id=0,
        cls_token_id=2,
        bos_token_id=2,
        sep_token_id=3,
        eos_token_id=3,
        attn_implementation="eager",  # on the CPU the fused kernel's backward pass takes a third longer
    )
    torch.manual_seed(settings.seed)
    return ModernBertForMaskedLM(config)


def masked_loss(model: nn.Module, inputs: Tensor, rows: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean cross-entropy at the masked positions, in nats; the vocabulary layer runs on those only.

    Shapes: inputs, rows (B, T) int64; chosen (B, T) bool; returns ().
    """
    hidden_NH = model.model(input_ids=inputs).last_hidden_state[chosen]
    logits_NV = model.decoder(model.head(hidden_NH)).float()
    return functional.cross_entropy(logits_NV, rows[chosen])


def optimisers(model: nn.Module, settings: PretrainSettings) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the encoder layers and AdamW for the rest.

    Source: Jordan et al. 2024, Muon: An optimizer for hidden layers; its update scaled to AdamW's (Liu et al. 2025).
    """
    matrices, others, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            vectors.append(parameter)
        else:
            (matrices if ".layers." in name else others).append(parameter)
    groups = [{"params": others, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [
        torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), eps=1e-6, fused=True),
        torch.optim.Muon(
            matrices,
            lr=settings.matrix_learning_rate,
            weight_decay=settings.matrix_weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]


def learning_rate_factor(step: int, settings: PretrainSettings) -> float:
    """Return the share of the learning rates in use at a step: linear warm-up, then linear decay to 0."""
    warm = max(1, int(settings.warmup * settings.steps))
    left = (settings.steps - step) / max(1, settings.steps - warm)
    return min((step + 1) / warm, left)


def pretrain(
    model: nn.Module,
    rows: Tensor,
    settings: PretrainSettings,
    *,
    tokenizer: Any,
    device: str = "cpu",
    report: Callable[[int, float, float], None] = lambda step, loss, seconds: None,
) -> None:
    """Train the model in place; `report(step, mean loss in nats, seconds)` is called every 100 steps."""
    model.to(device).train()
    both = optimisers(model, settings)
    peaks = [(group, group["lr"]) for each in both for group in each.param_groups]
    rng = torch.Generator().manual_seed(settings.seed)
    batches = batches_forever(rows, settings.rows_per_step, settings.seed)
    started, losses = time.perf_counter(), []
    for step in range(settings.steps):
        for group, peak in peaks:
            group["lr"] = peak * learning_rate_factor(step, settings)
        batch = next(batches)
        inputs, chosen = mask_tokens(batch, settings.masked, tokenizer, rng)
        with autocast(device, bf16=True):
            loss = masked_loss(model, inputs.to(device), batch.to(device), chosen.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in both:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            report(step + 1, float(np.mean(losses[-100:])), time.perf_counter() - started)


@torch.no_grad()
def perplexity(model: nn.Module, rows: Tensor, *, masked: float, tokenizer: Any, device: str = "cpu") -> float:
    """Return exp(mean cross-entropy over masked tokens) on held-out rows, with one fixed choice of masks."""
    model.to(device).eval()
    rng = torch.Generator().manual_seed(12_345)
    total, count = 0.0, 0
    for start in range(0, len(rows), 64):
        batch = rows[start : start + 64]
        inputs, chosen = mask_tokens(batch, masked, tokenizer, rng)
        loss = masked_loss(model, inputs.to(device), batch.to(device), chosen.to(device))
        total, count = total + loss.item() * int(chosen.sum()), count + int(chosen.sum())
    return math.exp(total / count)


def save(model: nn.Module, tokenizer, folder: Path, facts: dict[str, object]) -> None:
    """Write encoder and language-modelling head as float16 safetensors, the tokenizer, and pretraining.json."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
    (folder / FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def load(folder: Path) -> tuple[Any, nn.Module]:
    """Return tokenizer and model, language-modelling head included, of a base that `save` wrote."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, attn_implementation="eager"
    )
    return tokenizer, model


@torch.no_grad()
def average(model: nn.Module, other: nn.Module, share: float) -> None:
    """Move the model's weights by a share of the way to another's: between two ends of one run the loss is lower still.

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima and Better Generalization.
    """
    for mine, theirs in zip(model.parameters(), other.to(model.device).parameters(), strict=True):
        mine.lerp_(theirs, share)


def _refuse_little_text(rows: Tensor, held_out: Mapping[str, Tensor], settings: PretrainSettings) -> None:
    if len(rows) < settings.rows_per_step:
        raise UserError(
            f"the training text fills {len(rows)} rows of {settings.tokens_per_row} sub-words, expected at least "
            f"rows_per_step={settings.rows_per_step}; give more documents, or fewer rows a step"
        )
    if short := [name for name, each in held_out.items() if not len(each)]:
        raise UserError(
            f"source {short[0]}: its held-out documents, one of {HELD_OUT_EVERY}, fill no row of "
            f"{settings.tokens_per_row} sub-words; give more text, or tokens_per_row="
        )


def pretrain_base(
    sources: dict[str, Sequence[str]],
    settings: PretrainSettings,
    folder: Path,
    *,
    begin: Path | None = None,
    device: str = "cpu",
    report: Callable[[int, float, float], None] = lambda step, loss, seconds: None,
) -> dict[str, object]:
    """Train tokenizer and model on named sources of documents, save them, and return the facts for the model card.

    begin: a folder that an earlier call made. Its tokenizer and weights are trained further, with new optimisers and
    the architecture of that folder. The average of old and new weights is saved.
    """
    torch.set_num_threads(settings.threads)
    split = {name: held_out_split(documents) for name, documents in sources.items()}
    if begin is None:
        tokenizer = train_tokenizer((text for train, _ in split.values() for text in train), settings.vocab_size)
        model = build_model(settings, len(tokenizer))
    else:
        tokenizer, model = load(begin)
    rows = torch.cat([pack(train, tokenizer, settings.tokens_per_row) for train, _ in split.values()])
    held_out = {name: pack(held, tokenizer, settings.tokens_per_row) for name, (_, held) in split.items()}
    _refuse_little_text(rows, held_out, settings)
    started = time.perf_counter()
    pretrain(model, rows, settings, tokenizer=tokenizer, device=device, report=report)
    seconds = time.perf_counter() - started
    if begin is not None:
        average(model, load(begin)[1], settings.begun_share)
    model.half().float()  # evaluated as it is stored
    options = {"masked": settings.masked, "tokenizer": tokenizer, "device": device}
    facts: dict[str, object] = {
        "settings": asdict(settings),
        "training_tokens": rows.numel(),
        "held_out_perplexity": {name: round(perplexity(model, each, **options), 3) for name, each in held_out.items()},
        "held_out_perplexity_all": round(perplexity(model, torch.cat(list(held_out.values())), **options), 3),
        "seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if begin is not None:
        facts["begun_with"] = json.loads((begin / FACTS).read_text())
    save(model.to("cpu"), tokenizer, folder, facts)
    return facts
