"""How long the coordinator waits, by who answers."""

from pathlib import Path
from typing import Any

import pytest
from flwr.superlink.grid.http_grid import HttpGrid

from clinfed.backends.flower import FlowerBackend
from clinfed.errors import UserError
from configs import load
from server.coordinator import Coordinator
from server.federation import Federation
from tests.local_grid import LocalGrid


@pytest.mark.parametrize(
    ("over_http", "overrides", "seconds"),
    [
        (True, [], 1800.0),
        (False, [], 21600.0),
        (True, ["round.deadline_s=60"], 60.0),
        (False, ["round.deadline_s=60"], 60.0),
    ],
)
def test_real_sites_have_half_an_hour_from_the_first_greeting_on(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over_http: bool, overrides: list[str], seconds: float
) -> None:
    grid = HttpGrid(token="t") if over_http else LocalGrid(2, {}, None, None)
    coordinator = Coordinator(tmp_path, FlowerBackend(grid), load([*world.overrides, *overrides]))

    def closed(expected: object) -> Federation:
        raise UserError(str(coordinator.exchange.deadline_s))

    monkeypatch.setattr(coordinator.admission, "open", closed)
    with pytest.raises(UserError, match=f"^{seconds}$"):
        coordinator.greet()
