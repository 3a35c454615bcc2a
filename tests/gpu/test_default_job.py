"""The default job on a CUDA device, with a float32 and with a 4-bit base."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

SMALL = ["training.device=cuda", "corpus.train_fraction=0.05", "rounds=2"]


@pytest.fixture(scope="module", params=["lora", "qlora"])
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("home")
    command = [Path(sys.executable).parent / "clinfed", "simulate", *SMALL, f"adapter={request.param}", "--json"]
    environment = {"CLINFED_HOME": str(home), "PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    return json.loads(Path(json.loads(done.stdout.splitlines()[-1])["record"]).read_text())


def test_the_loss_falls(record: dict) -> None:
    losses = [each["loss"] for each in record["rounds"]]
    assert losses[-1] < losses[0]


def test_training_and_inference_memory_are_measured_apart(record: dict) -> None:
    probes = record["probes"]
    assert probes["training_peak_bytes"] > probes["inference_peak_bytes"] > 0
