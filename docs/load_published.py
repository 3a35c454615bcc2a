"""Load a folder that `clinfed publish` wrote with transformers, peft, torch and safetensors alone, and tag one note.

python load_published.py BASE FOLDER "Paciente con HTA y diabetes."

BASE: the base's folder or hub id (see the card). For adapters of the methods lora, dora, loha, lokr and ia3.
"""

import json
import re
import sys
import unicodedata
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch.nn.functional import linear
from transformers import AutoModel, AutoTokenizer

BASE, FOLDER, text = sys.argv[1:]

# The encoder with its adapter. float32 and eager attention: what the adapter was trained and judged with on CPUs.
base = AutoModel.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager")
encoder = PeftModel.from_pretrained(base, FOLDER).eval()
tokenizer = AutoTokenizer.from_pretrained(BASE, add_prefix_space=True)

# The head: one vector for each word, at its first sub-word.
head = load_file(f"{FOLDER}/head.safetensors")
codes = json.loads(Path(FOLDER, "labels.json").read_text(encoding="utf-8"))["codes"]
words = [match.span() for match in re.finditer(r"\w[\w\u0300-\u036f]*|[^\w\s]", text)]  # letters with their marks
composed = [unicodedata.normalize("NFC", text[start:end]) for start, end in words]
pieces = tokenizer(composed, is_split_into_words=True, add_special_tokens=False)
first = [1 + pieces.word_ids().index(word) for word in range(len(words))]
ids = torch.tensor([[tokenizer.cls_token_id, *pieces["input_ids"], tokenizer.sep_token_id]])
with torch.inference_mode():
    hidden = encoder(ids, torch.ones_like(ids)).last_hidden_state[0, first]
    if "tag.weight" in head:  # task=jerl: O, then B and I of each code
        logits = linear(hidden, head["tag.weight"], head["tag.bias"])
        tags = logits.argmax(-1).tolist()
        kinds, votes = [(tag > 0) * (1 + (tag - 1) % 2) for tag in tags], None
    else:  # task=jerl_factored: O, B, I, and apart from it the codes
        mention = linear(hidden, head["mention.weight"], head["mention.bias"])
        votes = linear(hidden, head["code.weight"], head["code.bias"])
        logits = torch.cat([mention, votes], dim=1)
        kinds = mention.argmax(-1).tolist()

# A B begins a mention (here an I after O does too, in the factored head), and I's continue it.
place = 0
while place < len(words):
    last = place + 1
    if kinds[place] == 1 or (kinds[place] == 2 and votes is not None):
        while last < len(words) and kinds[last] == 2:
            last += 1
        if votes is None:
            code = codes[(tags[place] - 1) // 2]
        else:
            code = codes[votes[place:last].log_softmax(-1).sum(0).argmax()]
        print(words[place][0], words[last - 1][1], code)
    place = last
