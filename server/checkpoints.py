"""The server's state on disk after each round, whole or not at all: what a run can go on from."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from clinfed.adapters.state import AdapterState
from clinfed.errors import UserError
from strategies.base import ServerState

STATE = "state.json"  # opens a complete checkpoint: it is written last
ADAPTER = "adapter.safetensors"


def save(folder: Path, server: ServerState, *, run_id: str, config: Mapping[str, object]) -> Path:
    """Write the state as folder/round-NNNN and remove the one before; a reader never sees half of one."""
    from safetensors.numpy import save_file

    target, partial = folder / f"round-{server.round:04d}", folder / f".partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(dict(server.adapter), partial / ADAPTER)
    for name, state in server.memory.items():
        save_file(dict(state), partial / f"memory-{name}.safetensors")
    described = {
        "run_id": run_id,
        "round": server.round,
        "memory": sorted(server.memory),
        "adapter_sha256": server.adapter.sha256(),
        "config": config,
    }
    (partial / STATE).write_text(json.dumps(described, indent=1), encoding="utf-8")
    for path in partial.iterdir():
        _flush(path)
    partial.rename(target)
    _flush(folder)
    for old in sorted(folder.glob("round-*")):
        if old != target:
            shutil.rmtree(old)
    return target


def load(folder: Path) -> ServerState:
    """Return the newest state below folder. Raises: UserError where there is none, or it is not what was saved."""
    from safetensors.numpy import load_file

    found = sorted(path.parent for path in folder.glob(f"round-*/{STATE}"))
    if not found:
        raise UserError(f"{folder}: no saved state; expected the folder `state` of a run")
    described = json.loads((found[-1] / STATE).read_text(encoding="utf-8"))
    adapter = AdapterState(load_file(found[-1] / ADAPTER))
    if adapter.sha256() != described["adapter_sha256"]:
        raise UserError(f"{found[-1]}: its adapter is not the one that was saved; take an earlier run")
    memory = {name: AdapterState(load_file(found[-1] / f"memory-{name}.safetensors")) for name in described["memory"]}
    return ServerState(adapter, memory, int(described["round"]))


def _flush(path: Path) -> None:
    """Wait until the disk has it: a rename may otherwise overtake the bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
