"""The model card of an adapter folder: what it is, how it is loaded without clinfed, and how it was judged."""

from collections.abc import Mapping
from dataclasses import dataclass

NF4 = """quantization = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
"""


@dataclass(frozen=True)
class Card:
    """What the folder's readers are told. Only names that may be published: no path, no clinic, no note."""

    base: str  # hub id or the base's name
    base_revision: str
    method: str  # "lora", "qlora", "full"
    task: str  # "jerl", "jerl_factored"
    license: str = ""
    results: str = ""  # markdown, for instance the closing table
    languages: tuple[str, ...] = ("es", "ca")  # ISO 639-1
    base_sha256: str = ""  # fingerprint of the base's files, where it is known
    where: str = ""  # where those who get the folder find the base


@dataclass(frozen=True)
class Contents:
    """What is in the folder: numbers of parameters and codes, the state's identity, the names of the head's tensors."""

    encoder_parameters: int
    head_parameters: int
    codes: int
    sha256: str
    head: Mapping[str, tuple[int, ...]]


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
  the clinics' agreement allows. It was judged on annotated text only and is not a medical device.

## Use

With clinfed: `clinfed predict --adapter THIS_FOLDER --notes NOTES --out OUT`. Without it, encoder and adapter:

```python
{_encoder_code(card)}
```

and the head, for one note of at most as many sub-words as the base reads at once:

```python
{_head_code(contents)}
```

{card.results}
"""


def _encoder_code(card: Card) -> str:
    names = "AutoModel, AutoTokenizer"
    quantised = card.method == "qlora"
    imports = f"import torch\nfrom peft import PeftModel\nfrom transformers import {names}"
    imports += ", BitsAndBytesConfig" if quantised else ""
    # float32: the files may hold float16. Eager: what the adapter was trained and judged with on CPUs.
    options = 'dtype=torch.float32, attn_implementation="eager"'
    options += ", quantization_config=quantization" if quantised else ""
    if card.method == "full":
        encoder = f"encoder = AutoModel.from_pretrained(FOLDER, {options}).eval()"
    else:
        encoder = f"base = AutoModel.from_pretrained(BASE, {options})\n"
        encoder += "encoder = PeftModel.from_pretrained(base, FOLDER).eval()"
    tokenizer = "tokenizer = AutoTokenizer.from_pretrained(BASE, add_prefix_space=True)"
    places = 'BASE, FOLDER, text = "its folder or hub id", "this folder", "a note"'
    return f"{imports}\n{places}\n{NF4 * quantised}{encoder}\n{tokenizer}"


def _head_code(contents: Contents) -> str:
    def layer(name: str) -> str:
        return f'torch.nn.functional.linear(hidden, head["{name}.weight"], head["{name}.bias"])'

    if "tag.weight" in contents.head:
        logits = f"    logits = {layer('tag')}  # O, then B and I of each code in the order of labels.json"
    else:
        no_hint = ' + head["mention_hint.weight"][0]' if "mention_hint.weight" in contents.head else ""
        logits = f"    mention = {layer('mention')}{no_hint}  # O, B, I\n"
        logits += f"    code = {layer('code')}  # the codes in the order of labels.json"
    return rf"""import re
from safetensors.torch import load_file
head = load_file(f"{{FOLDER}}/head.safetensors")
words = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
pieces = tokenizer([text[start:end] for start, end in words], is_split_into_words=True, add_special_tokens=False)
first = [1 + pieces.word_ids().index(word) for word in range(len(words))]  # a word is judged at its first sub-word
ids = torch.tensor([[tokenizer.cls_token_id, *pieces["input_ids"], tokenizer.sep_token_id]])
with torch.inference_mode():
    hidden = encoder(ids, torch.ones_like(ids)).last_hidden_state[0, first]
{logits}"""
