"""Run in a process of its own: estimate, then train a few steps and measure; prints one JSON object."""

import json
import sys
from importlib import import_module

import torch

from clinfed.adapters.weights import read_state
from clinfed.bases import Base, load_encoder, meta_encoder
from clinfed.probes.estimate import estimate_memory
from clinfed.probes.memory import peak_memory, resident_bytes
from clinfed.training.model import Tagger, trainable_weights
from configs.discovery import plugin_class

case = json.loads(sys.argv[1])
torch.set_num_threads(1)
base = Base(config=case["config"], random_init=True)
module = import_module(f"clinfed.adapters.{case['adapter']}")
adapter = getattr(module, case["adapter"].capitalize())()
task = plugin_class("task", case["task"])()
hidden_size, shape = case["config"]["hidden_size"], (case["windows"], case["tokens"])

encoder = adapter.attach(meta_encoder(base).requires_grad_(False))
with torch.device("meta"):
    head = task.head(hidden_size, case["codes"])
estimate = estimate_memory(encoder, head, windows=shape[0], tokens=shape[1])
before = resident_bytes()

tagger = Tagger(adapter.attach(load_encoder(base)), task.head(hidden_size, case["codes"])).train()
state = read_state(tagger)  # as a clinic holds the one that it was sent
optimiser = torch.optim.AdamW(trainable_weights(tagger), lr=1e-4)
input_ids, mask = torch.randint(5, 8000, shape), torch.ones(shape, dtype=torch.int64)
tags = torch.randint(1, 2 * case["codes"], (shape[0] * shape[1],))
with peak_memory() as peak:
    for _ in range(4):
        task.word_loss(tagger.head, tagger.hidden(input_ids, mask, mask.bool()), tags, 0 * tags).backward()
        optimiser.step()
        optimiser.zero_grad()
print(json.dumps({"estimated": estimate.total, "measured": peak.peak_bytes, "grown": peak.peak_bytes - before}))
