"""What a hostile site does to its own processes: the code and its fingerprint are honest, the answers are not.

Python imports this module at its start where its folder is on PYTHONPATH, as it is at one site of the test only.
"""

import os
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
from flwr.app import Array, Context, Message
from flwr.clientapp import ClientApp
from safetensors.numpy import load, save

HUGE_BYTES = 600 * 2**20  # of zeros: 5 MB of traffic, since equal parts of a message travel once
SLOW_S = 50  # beyond the deadline of the test, and soon enough to answer the next round in time
KEPT = Path(os.environ["CLINFED_HOME"]) / "kept-nonce"  # each message has a process of its own

honest = ClientApp.__call__


def hostile(self: ClientApp, message: Message, context: Context) -> Message:
    question = dict(message.content["question"])  # before the honest app lets go of the content
    reply = honest(self, message, context)
    if message.metadata.message_type == "query.hello" or reply.has_error():
        return reply
    kind = "test_evaluation" if question["test_evaluation"] else question["split"]
    training = message.metadata.message_type == "train"
    attack = ATTACKS[(question["round"] - 1) % len(ATTACKS)] if training else {"test_evaluation": slow}.get(kind, lie)
    content = deepcopy(reply.content)
    if not KEPT.exists():
        KEPT.write_text(content["identity"]["nonce"], "utf-8")
    attack(content)
    return Message(content, reply_to=message)


def fill(content: object, number: float) -> None:
    old = content["adapter"]["tensors"]
    data = save({name: np.full_like(values, number) for name, values in load(old.data).items()})
    content["adapter"]["tensors"] = Array(old.dtype, (len(data),), old.stype, data)


def nan(content: object) -> None:
    fill(content, float("nan"))


def garbage(content: object) -> None:
    fill(content, 1.8e31)


def huge(content: object) -> None:
    old = content["adapter"]["tensors"]
    content["adapter"]["tensors"] = Array(old.dtype, (HUGE_BYTES,), old.stype, bytes(HUGE_BYTES))


def replayed(content: object) -> None:
    content["identity"]["nonce"] = KEPT.read_text("utf-8")


def lie(content: object) -> None:
    for name, old in content["counts"].items():
        content["counts"][name] = Array(old.dtype, old.shape, old.stype, b"\xff" * len(old.data))  # -1


def slow(content: object) -> None:
    time.sleep(SLOW_S)


ATTACKS = (nan, huge, replayed, garbage) * 4 + (slow,)  # one a round, then from the first again

ClientApp.__call__ = hostile
