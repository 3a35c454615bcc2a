"""What was meant by a key that is not there: the keys that end like it, other tools' words, and keys near it."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields

from clinfed.errors import UserError
from configs.discovery import PLUGINS, options, plugin_class

# How other tools, and people, call it.
ALIASES = {
    "adapter": "method peft peft_method finetuning fine_tuning",
    "adapter.alpha": "lora_alpha scaling",
    "adapter.dropout": "lora_dropout",
    "adapter.r": "rank lora_r lora_rank",
    "adapter.target_modules": "targets modules",
    "base": "model base_model encoder model_name pretrained",
    "base.path": "model_path model_name_or_path checkpoint",
    "clinics": "clients num_clients n_clients nodes num_nodes num_supernodes sites num_sites parties silos hospitals",
    "corpus": "data dataset format",
    "corpus.path": "data_path data_dir data_file notes input file files folder",
    "corpus.labels": "codes label_map classes",
    "wait_for_clients.minimum": "min_clients min_available_clients min_available_nodes min_nodes",
    "wait_for_clients.wait_s": "wait",
    "output": "out outdir out_dir output_dir output_folder save_dir",
    "partition": "partitioner split",
    "resume": "resume_from resume_from_checkpoint",
    "round.deadline_s": "timeout deadline round_timeout",
    "round.fraction": "fraction_fit fraction_train sample_fraction participation client_fraction",
    "rounds": "round num_rounds n_rounds server_rounds num_server_rounds global_rounds communication_rounds",
    "seed": "random_seed random_state",
    "stop.patience": "early_stopping early_stopping_patience",
    "strategy": "aggregation aggregator algorithm",
    "strategy.proximal_mu": "mu prox_mu fedprox_mu",
    "training.batch_notes": "batch_size batch bs train_batch_size per_device_train_batch_size",
    "training.bf16": "fp16 amp mixed_precision precision",
    "training.clip_norm": "max_grad_norm grad_clip gradient_clipping clip grad_norm clip_grad",
    "training.device": "gpu cuda accelerator",
    "training.learning_rate": "lr eta learning_rate_adapter",
    "training.local_epochs": "epochs epoch num_epochs n_epochs num_train_epochs",
    "training.schedule": "scheduler lr_scheduler lr_scheduler_type",
    "training.threads": "num_threads n_threads cpus",
    "training.warmup": "warmup_ratio warm_up",
    "training.weight_decay": "wd decay l2",
    "training.window": "max_length max_len max_seq_length seq_len sequence_length block_size context",
}
KEY_OF = {word: key for key, words in ALIASES.items() for word in words.split()}


def instead(key: str, chosen: Mapping[str, str], known: Iterable[str]) -> str:
    """Return what to write instead of a key that is not there. chosen: group -> option; known: the run's keys."""
    group = key.split(".")[0]
    known = [*known, *chosen]
    inside = [other for other in known if other.startswith(f"{group}.")]
    of = f" with {group}={chosen[group]}" if group in chosen else ""
    exact = same(key, known)
    if own := [other for other in exact if other in inside or not (of or inside)]:
        return f"{of}; did you mean {' or '.join(own)}?"
    if others := elsewhere(key, chosen):
        there = " or ".join(f"{name}={option}" for name, option in others)
        return f"{of}; {others[0][0]}.{_last(key)} comes with {there}"
    if near := near_to(key, inside) if of or inside else near_to(key, known):
        return f"{of}; did you mean {' or '.join(near)}?"
    if exact:
        return f"{of}; did you mean {' or '.join(exact)}?"
    if of or inside:
        return f"{of}; it has {', '.join(inside) or 'no keys'}"
    return f"; groups: {', '.join(chosen)}; `clinfed config --help-keys` lists all keys"


def same(key: str, known: Collection[str]) -> list[str]:
    """Return the known keys that a key names without their group, or in other tools' words."""
    last = key.rpartition(".")[2]
    named = [each for each in [KEY_OF.get(last, "")] if each in known]
    return list(dict.fromkeys([*named, *(other for other in known if other.rpartition(".")[2] == last)]))


def near_to(key: str, known: Collection[str]) -> list[str]:
    """Return the known keys that are spelt almost like a key, as a whole or in their last part."""
    if close := difflib.get_close_matches(key, known, cutoff=0.8):
        return close
    by_last: dict[str, list[str]] = {}
    for other in known:
        by_last.setdefault(other.rpartition(".")[2], []).append(other)
    by_last |= {word: [full] for word, full in KEY_OF.items() if full in known and word not in by_last}
    words = difflib.get_close_matches(key.rpartition(".")[2], by_last, cutoff=0.8)
    return list(dict.fromkeys(full for word in words for full in by_last[word]))


def elsewhere(key: str, chosen: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (group, option) of the options that have such a key where the chosen one of their group has none."""
    group, last = key.rpartition(".")[0], _last(key)
    groups = [each for each in PLUGINS if group in ("", each)]
    if any(last in own_keys(each, chosen[each]) for each in groups):
        return []
    return [(each, option) for each in groups for option in options(each) if last in own_keys(each, option)]


def _last(key: str) -> str:
    """Return the last part of a key, as clinfed calls it."""
    group, _, last = key.rpartition(".")
    full = KEY_OF.get(last, "")
    return full.rpartition(".")[2] if "." in full and group in ("", full.split(".")[0]) else last


def own_keys(group: str, option: str) -> set[str]:
    """Return the names of a plug-in option's settings; none where its file cannot be imported."""
    try:
        return {field.name for field in fields(plugin_class(group, option))}
    except UserError:  # it breaks its own option only
        return set()
