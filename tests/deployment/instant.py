"""A clinic that answers at once, in the place of client/app.py: what Flower and the coordinator cost by themselves.

It echoes the adapter and claims one note; hello and the closing judgement are the real ones (client/whole.py).
"""

import hashlib
from collections.abc import Iterable

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
    """Give the adapter back, with an empty judgement of it."""
    answer = answered(message, context, (*protocol.TRAIN_REPORT, *protocol.JUDGEMENT_REPORT))
    answer[protocol.ADAPTER] = message.content[protocol.ADAPTER]
    return Message(answer, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Count nothing, but at the closing."""
    if message.content[protocol.QUESTION]["closing"]:
        from client.whole import app as whole

        return whole(message, context)
    return Message(answered(message, context, protocol.EVALUATE_REPORT), reply_to=message)


def answered(message: Message, context: Context, figures: Iterable[str]) -> RecordDict:
    """Return what is in both answers: who it is, 1 as every count, 0 as all seconds."""
    name = str(context.node_config["name"])
    worker = hashlib.sha256(name.encode()).hexdigest()[:32]
    identity = {"clinic": name, "worker": worker, "wire": WIRE_VERSION, "code": fingerprints.code()}
    identity["nonce"] = str(message.content[protocol.QUESTION]["nonce"])
    arrays, names = protocol.counts_to_wire({(protocol.FEDERATED, protocol.ALL_GOLD): SpanCounts()})
    counts = {
        key: Array(protocol.COUNT_DTYPE, array.shape, protocol.TENSOR_KIND, array.tobytes())
        for key, array in arrays.items()
    }
    return RecordDict(
        {
            protocol.IDENTITY: ConfigRecord(identity),
            protocol.REPORT: MetricRecord({each: 0.0 if each.endswith("_s") else 1 for each in figures}),
            protocol.COUNTS: ArrayRecord(counts),
            protocol.COUNT_NAMES: ConfigRecord(dict(names)),
        }
    )
