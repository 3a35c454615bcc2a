"""The model card of an adapter folder: what it is, how it is loaded without clinfed, and how it was evaluated."""

from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.py")  # stands in the card and beside it


@dataclass(frozen=True)
class Card:
    """What the folder's readers are told. Only names that may be published: no path, no clinic, no note."""

    base: str  # hub id or the base's name
    base_revision: str
    method: str  # "lora", "qlora", "full"
    task: str  # "jerl", "jerl_factored"
    license: str = ""
    results: str = ""  # markdown, for instance the test table
    languages: tuple[str, ...] = ("es", "ca")  # ISO 639-1
    base_sha256: str = ""  # fingerprint of the base's files, where it is known
    where: str = ""  # where those who get the folder find the base


@dataclass(frozen=True)
class Contents:
    """What is in the folder: numbers of parameters and codes, and the state's identity."""

    encoder_parameters: int
    head_parameters: int
    codes: int
    sha256: str


def card_text(card: Card, contents: Contents) -> str:
    """Return the card, in markdown with the hub's metadata in front."""
    revision = f" at revision {card.base_revision}" if card.base_revision else ""
    hub = f"base_model: {card.base}\n" if "/" in card.base else ""
    fate = "all its weights tuned and stored here" if card.method == "full" else "frozen"
    encoder, head = contents.encoder_parameters, contents.head_parameters
    files = f"\n- The base's files: {card.where}" if card.where else ""
    files += f"\n- Fingerprint of the base's files: {card.base_sha256}" if card.base_sha256 else ""
    return f"""---
library_name: peft
{hub}tags: [clinfed, icd-10, token-classification, {card.method}]
license: {card.license or "other"}
language: [{", ".join(card.languages)}]
---

# Adapter that finds diagnoses in clinical notes and links them to ICD-10

- Base: {card.base}{revision}, {fate}{files}
- Method: {card.method}; task: {card.task}; {contents.codes:,} codes (`labels.json`, in the head's order)
- Parameters: {encoder:,} in the encoder, {head:,} in the head (`head.safetensors`)
- SHA-256 of encoder part and head: {contents.sha256}
- Trained by clinfed; no note is in this folder. A model trained on notes can still reveal traces of them: share it as
  the clinics' agreement allows. It was evaluated on annotated text only and is not a medical device.

## Use

With clinfed: `clinfed predict --adapter THIS_FOLDER --notes NOTES --out OUT`. Without it, this is `load.py` of this
folder, which gives one note's mentions as `python load.py BASE THIS_FOLDER "the note's text"`:

```python
{SCRIPT.read_text(encoding="utf-8").rstrip()}
```

{card.results}
"""
