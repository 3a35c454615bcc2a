"""Find the diagnoses of a note with an adapter that clinfed wrote, with transformers, peft and safetensors alone.

    python load.py BASE FOLDER "Paciente con HTA y diabetes."

BASE: the base's folder or hub id (see the card). FOLDER: the adapter's. Prints start, end and code of each mention.
The note may have at most as many sub-words as the base reads at once; `clinfed predict` reads longer ones in windows.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Tensors = dict[str, "Tensor"]


def load(base: str, folder: str) -> tuple[Any, Tensors, Any, list[str], dict[str, Any]]:
    """Return encoder, head, tokenizer, codes and settings; codes that nobody has trained have no chance."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer, BitsAndBytesConfig

    settings = json.loads(Path(folder, "clinfed.json").read_text(encoding="utf-8"))["settings"]
    labels = json.loads(Path(folder, "labels.json").read_text(encoding="utf-8"))
    codes, head = labels["codes"], load_file(Path(folder, "head.safetensors"))
    for code in (codes.index(each) for each in labels.get("untrained", [])):
        if "tag.bias" in head:
            head["tag.bias"][1 + 2 * code : 3 + 2 * code] = -torch.inf
        else:
            head["code.bias"][code] = -torch.inf
    # float32: the files may hold float16. Eager: what the adapter was trained and evaluated with on CPUs.
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if settings["options"]["adapter"] == "qlora":
        nf4 = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
        nf4["bnb_4bit_compute_dtype"] = torch.bfloat16
        options["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, **nf4)
    if settings["options"]["adapter"] == "full":  # all weights were tuned, and stand in this folder
        encoder = AutoModel.from_pretrained(folder, **options)
    else:
        from peft import PeftModel

        encoder = PeftModel.from_pretrained(AutoModel.from_pretrained(base, **options), folder)
    tokenizer = AutoTokenizer.from_pretrained(base, add_prefix_space=True)
    return encoder.eval(), head, tokenizer, codes, settings


def word_vectors(
    text: str, encoder: Any, tokenizer: Any, *, lowercase: bool = False
) -> tuple[list[tuple[int, int]], "Tensor"]:
    """Return the words' character ranges, and the encoder's vector at each word's first sub-word."""
    import torch

    words = [match.span() for match in re.finditer(r"\w[\w\u0300-\u036f]*|[^\w\s]", text)]  # letters with their marks
    composed = [unicodedata.normalize("NFC", text[start:end]) for start, end in words]
    composed = [word.lower() for word in composed] if lowercase else composed
    pieces: list[list[int]] = [[] for _ in words]
    if words:
        split = tokenizer(composed, is_split_into_words=True, add_special_tokens=False)
        for piece, word in zip(split["input_ids"], split.word_ids(), strict=True):
            pieces[word].append(piece)
    pieces = [ids or [tokenizer.unk_token_id] for ids in pieces]
    first = [1 + sum(len(ids) for ids in pieces[:place]) for place in range(len(words))]
    row = [tokenizer.cls_token_id, *(piece for ids in pieces for piece in ids), tokenizer.sep_token_id]
    most = min(tokenizer.model_max_length, getattr(encoder.config, "max_position_embeddings", len(row)))
    if len(row) > most:
        raise SystemExit(f"the note has {len(row)} sub-words, the base reads {most} at once; use clinfed predict")
    ids = torch.tensor([row])
    with torch.inference_mode():
        return words, encoder(ids, torch.ones_like(ids)).last_hidden_state[0, first]


def logits_of(hidden: "Tensor", head: Tensors) -> "Tensor":
    """Return the head's numbers for each word: of O and each code's B and I, or of O, B, I and then of each code."""
    import torch
    from torch.nn.functional import linear

    if "tag.weight" in head:  # task=jerl
        return linear(hidden, head["tag.weight"], head["tag.bias"])
    mention = linear(hidden, head["mention.weight"], head["mention.bias"])
    if "mention_hint.weight" in head:  # trained with lexicons: here none gives a feature
        mention = mention + head["mention_hint.weight"][0]
    return torch.cat([mention, linear(hidden, head["code.weight"], head["code.bias"])], dim=1)


def mentions(
    words: Sequence[tuple[int, int]], logits: "Tensor", codes: Sequence[str]
) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and code of each mention: a B begins it and I's continue it."""
    factored = logits.shape[1] == 3 + len(codes)
    best = (logits[:, :3] if factored else logits).argmax(-1).tolist()
    kinds = best if factored else [(tag > 0) * (1 + (tag - 1) % 2) for tag in best]
    place = 0
    while place < len(words):
        last = place + 1
        if kinds[place] == 1 or (kinds[place] == 2 and factored):  # in the factored head an I after O begins, too
            while last < len(words) and kinds[last] == 2 and (factored or best[last] == best[place] + 1):
                last += 1
            votes = logits[place:last, 3:].log_softmax(-1).sum(0)  # each word of a mention has a say in its code
            code = codes[int(votes.argmax())] if factored else codes[(best[place] - 1) // 2]
            yield words[place][0], words[last - 1][1], code
        place = last


def main(base: str, folder: str, text: str) -> None:
    """Print the mentions of a note."""
    encoder, head, tokenizer, codes, settings = load(base, folder)
    words, hidden = word_vectors(text, encoder, tokenizer, lowercase=settings["corpus"]["lowercase"])
    for start, end, code in mentions(words, logits_of(hidden, head), codes):
        print(start, end, code)


if __name__ == "__main__":
    main(*sys.argv[1:])
