import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from strategies.base import ServerState
from strategies.fedavg import FedAvg
from strategies.fedrows import FedRows

BEFORE = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]


def state(rows: list[list[float]], bias: list[float], factor: float = 0.0) -> AdapterState:
    tensors = {"head.code.weight": rows, "head.code.bias": bias, "encoder.lora_A": [[factor]]}
    return AdapterState({name: np.array(values, np.float32) for name, values in tensors.items()})


def test_a_row_is_averaged_over_the_clinics_that_changed_it() -> None:
    server = ServerState(state(BEFORE, [0.0, 0.0, 0.0]))
    one = AdapterUpdate("one", state([[5.0, 1.0], [6.0, 2.0], [3.0, 3.0]], [4.0, 4.0, 0.0], factor=4.0), num_examples=1)
    other = AdapterUpdate(
        "two", state([[1.0, 1.0], [2.0, 8.0], [3.0, 3.0]], [0.0, 8.0, 0.0], factor=8.0), num_examples=3
    )
    adapter = FedRows().aggregate(server, [one, other]).adapter
    # Row 0 is one's alone, row 1 both's by notes (6*1 + 2*3) / 4 and (2*1 + 8*3) / 4, row 2 nobody's.
    assert adapter["head.code.weight"].tolist() == [[5.0, 1.0], [3.0, 6.5], [3.0, 3.0]]
    assert adapter["head.code.bias"].tolist() == [4.0, 7.0, 0.0]
    assert adapter["encoder.lora_A"].tolist() == [[7.0]], "the adapter itself is averaged by notes"


def test_where_all_clinics_changed_all_rows_it_is_fedavg() -> None:
    rng = np.random.default_rng(0)
    states = [state(rng.normal(size=(3, 2)).tolist(), rng.normal(size=3).tolist(), rng.normal()) for _ in range(4)]
    updates = [AdapterUpdate(str(count), each, count) for count, each in enumerate(states[1:], 1)]
    server = ServerState(states[0])
    expected = FedAvg().aggregate(server, updates).adapter.sha256()
    assert FedRows().aggregate(server, updates).adapter.sha256() == expected
