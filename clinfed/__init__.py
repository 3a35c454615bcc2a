"""Federated adapters that find diagnoses in clinical notes.

```python
import clinfed

result = clinfed.simulate("rounds=2", "corpus.patients=24")
clinfed.predict(result, ["Paciente con asma."]).to_pandas()
```

The names below are imported when they are first used: `import clinfed` alone loads neither torch nor Flower.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinfed.corpus.note import Note, Span
    from clinfed.errors import UserError
    from clinfed.experiments.api import compare, predict, score, simulate, train

__all__ = ["Note", "Span", "UserError", "compare", "predict", "score", "simulate", "train"]

_HOMES = {"Note": "clinfed.corpus.note", "Span": "clinfed.corpus.note", "UserError": "clinfed.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'clinfed' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES.get(name, "clinfed.experiments.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
