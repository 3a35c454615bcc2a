"""FFA-LoRA: A stays, B and the head are averaged, and the products are then averaged exactly."""

import numpy as np
import pytest

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from strategies.ffa_lora import FfaLora

A, B = "encoder.q.lora_A.weight", "encoder.q.lora_B.weight"


def adapter(a: list[list[float]], b: list[list[float]]) -> AdapterState:
    return AdapterState({A: np.array(a), B: np.array(b), "head.bias": np.array(0.0)})


def test_the_mean_of_the_products_is_the_product_of_the_means() -> None:
    strategy = FfaLora()
    server = strategy.start(adapter([[1.0, 2.0]], [[0.0], [0.0]]))
    sent = [{B: np.array([[4.0], [0.0]])}, {B: np.array([[0.0], [8.0]])}]
    updates = [
        AdapterUpdate(name, AdapterState({**tensors, "head.bias": np.array(1.0)}), notes)
        for name, tensors, notes in zip("ab", sent, (1, 3), strict=True)
    ]
    after = strategy.aggregate(server, updates).adapter
    assert after[A].tolist() == [[1.0, 2.0]]
    assert after[B].tolist() == [[1.0], [6.0]]  # by notes: (4*1 + 0*3) / 4 and (0*1 + 8*3) / 4
    products = [tensors[B] @ server.adapter[A] for tensors in sent]
    assert (after[B] @ after[A]).tolist() == ((products[0] + 3 * products[1]) / 4).tolist()


def test_an_adapter_without_lora_factors_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="strategy=ffa_lora: the adapter has no LoRA A to freeze; choose adapter=lora"):
        FfaLora().refuse({"encoder.q.ia3_l": ((4,), "<f4"), "head.bias": ((), "<f4")})
    FfaLora().refuse(adapter([[1.0]], [[1.0]]).shapes)
