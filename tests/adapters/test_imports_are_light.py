"""Option names and fields are asked for by light commands: that must not load torch."""

import subprocess
import sys

import pytest

METHODS = ("lora", "qlora", "dora", "loha", "lokr", "ia3", "full")
MODULES = ["bases", *(f"adapters.{name}" for name in (*METHODS, "weights", "codec", "folder"))]


@pytest.mark.parametrize("module", MODULES)
def test_importing_it_loads_no_heavy_library(module: str) -> None:
    program = (
        f"import sys, clinfed.{module}; "
        "print(sorted({'torch', 'transformers', 'peft', 'bitsandbytes', 'safetensors'} & sys.modules.keys()))"
    )
    expected = ["safetensors"] if module == "adapters.codec" else []  # whose format it is; a millisecond
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)
