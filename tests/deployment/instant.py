"""A clinic that answers at once, in the place of client/app.py: what Flower and the coordinator cost by themselves.

It echoes the adapter and claims one note; hello and the test evaluation are the real ones (client/whole.py).
"""

import hashlib

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clinfed import fingerprints, protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.evaluation.counts import SpanCounts

app = ClientApp()


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Answer as a clinic does."""
    from client.whole import app as whole

    return whole(message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Give the adapter back, with an empty evaluation of it where one is asked for."""
    content = evaluated() if message.content[protocol.QUESTION]["split"] else RecordDict()
    figures = (*protocol.TRAIN_REPORT, *(protocol.EVALUATION_REPORT_PART if protocol.COUNTS in content else ()))
    content[protocol.ADAPTER] = message.content[protocol.ADAPTER]
    return signed(message, context, content, figures)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Count nothing, but at the test evaluation."""
    if message.content[protocol.QUESTION]["test_evaluation"]:
        from client.whole import app as whole

        return whole(message, context)
    return signed(message, context, evaluated(), protocol.EVALUATE_REPORT)


def evaluated() -> RecordDict:
    """Return counts of no mention at all."""
    arrays, names = protocol.counts_to_wire({(protocol.FEDERATED, protocol.ALL_GOLD): SpanCounts()})
    counts = ArrayRecord({name: plain(array) for name, array in arrays.items()})
    return RecordDict({protocol.COUNTS: counts, protocol.COUNT_NAMES: ConfigRecord(dict(names))})


def plain(array: np.ndarray) -> Array:
    return Array(protocol.COUNT_DTYPE, array.shape, protocol.COUNT_KIND, array.tobytes())


def signed(message: Message, context: Context, content: RecordDict, figures: tuple[str, ...]) -> Message:
    """Return the answer: who it is, 1 as every count, 0 as all seconds."""
    name = str(context.node_config["name"])
    worker = hashlib.sha256(name.encode()).hexdigest()[:32]
    identity = {"clinic": name, "worker": worker, "wire": WIRE_VERSION, "code": fingerprints.code()}
    identity["nonce"] = str(message.content[protocol.QUESTION]["nonce"])
    content[protocol.IDENTITY] = ConfigRecord(identity)
    content[protocol.REPORT] = MetricRecord({each: 0.0 if each.endswith("_s") else 1 for each in figures})
    return Message(content, reply_to=message)
