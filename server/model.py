"""The coordinator's own copy of the model, and the folder that a run writes to; no Flower here."""

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from clinfed import fingerprints
from clinfed.adapters.state import AdapterState
from clinfed.home import runs_folder
from clinfed.runs import checkpoints
from configs import Run
from configs.portable import portable
from strategies.base import ServerState
from strategies.step import begin

if TYPE_CHECKING:
    from clinfed.training.model import Tagger
    from clinfed.training.untrained import Prints


def run_folder(run: Run) -> Path:
    """Return the folder of the run's record, adapter and state: a new one, or that of the run that is resumed."""
    parent = Path(run.output) if run.output else runs_folder()
    if run.resume:
        return checkpoints.find(Path(run.resume), parent)
    folder = parent / f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder


class Model:
    """The server's own copy of the model: for the first state, the fingerprints, and the adapter's folder."""

    def __init__(self, run: Run, tagger: "Tagger | None" = None) -> None:
        """Take a model that is already loaded, and still as it was built, where there is one."""
        self._run = run
        self._tagger = tagger
        self.codes = tuple(run.corpus.codes())
        self.fingerprints: dict[str, str] = {}
        self._first_rows: Prints = {}

    def build(self) -> dict[str, str]:
        """Load the model, adapter and head drawn from the run's seed; return the fingerprints of this side.

        Raises: UserError where the run's strategy does not go with its adapter.
        """
        from clinfed.adapters.weights import read_shapes
        from clinfed.training.untrained import first_prints

        run = self._run
        if self._tagger is None:
            from clinfed.training.model import build

            # On the CPU: the accelerator is for the clinics of a simulation.
            self._tagger = build(run.base, run.adapter, run.task, len(self.codes), seed=run.seed)
        self._first_rows = first_prints(self._tagger)
        shapes = read_shapes(self._tagger)
        run.strategy.refuse(shapes)
        self.fingerprints = fingerprints.of_run(run, self.codes, shapes)
        return self.fingerprints

    @property
    def tagger(self) -> "Tagger":
        """Return the model, whose adapter holds what was written last."""
        assert self._tagger is not None, "build() comes first"
        return self._tagger

    def start(self) -> ServerState:
        """Return the state before the first round; asked for while the model is still as it was built."""
        from clinfed.adapters.weights import read_state

        return begin(self._run.strategy, read_state(self.tagger))

    def untrained(self, state: AdapterState) -> frozenset[int]:
        """Return the numbers of the codes that no clinic has trained, which prediction masks."""
        from clinfed.training.untrained import untrained

        return untrained(self._first_rows, state, self._run.task, len(self.codes))

    def save(self, folder: Path, state: AdapterState, results: str) -> None:
        """Write the adapter as a PEFT folder with head, label map and card."""
        from clinfed.adapters.card import Card
        from clinfed.adapters.folder import save, save_settings
        from clinfed.adapters.weights import write_state

        write_state(self.tagger, state)
        run = self._run
        card = Card(
            base=run.base.public_name,
            base_revision=run.base.revision,
            method=run.options["adapter"],
            task=run.options["task"],
            license=run.base.license,
            results=results,
        )
        save(folder, self.tagger, codes=self.codes, card=card, untrained=self.untrained(state))
        save_settings(folder, portable(run), self.fingerprints)
