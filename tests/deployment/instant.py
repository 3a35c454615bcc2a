"""A clinic that answers at once, in the place of client/app.py: what Flower and the coordinator cost by themselves.

It echoes the adapter and claims one note; hello and the closing judgement are the real ones (client/whole.py).
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clinfed import fingerprints, protocol
from clinfed.adapters.codec import WIRE_VERSION
from clinfed.evaluation.counts import SpanCounts

app = ClientApp()

REPORT = {
    "base_loads": 0,
    "evaluate_s": 0.0,
    "inference_peak_bytes": 0,
    "lexicon_s": 0.0,
    "load_s": 0.0,
    "loss": 1.0,
    "notes": 1,
    "num_examples": 1,
    "padded_tokens": 1,
    "serialise_s": 0.0,
    "steps": 1,
    "tokens": 1,
    "train_s": 0.0,
    "training_peak_bytes": 0,
}


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Answer as a clinic does."""
    from client.whole import app as whole

    return whole(message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Give the adapter back."""
    answer = answered(context)
    answer[protocol.ADAPTER] = message.content[protocol.ADAPTER]
    return Message(answer, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Count nothing, but at the closing."""
    if not message.content[protocol.QUESTION]["closing"]:
        return Message(answered(context), reply_to=message)
    from client.whole import app as whole

    return whole(message, context)


def answered(context: Context) -> RecordDict:
    """Return what is in both answers."""
    name = str(context.node_config["name"])
    identity = {"clinic": name, "worker": f"instant-{name}", "wire": WIRE_VERSION, "code": fingerprints.code()}
    arrays, names = protocol.counts_to_wire({(protocol.FEDERATED, protocol.ALL_GOLD): SpanCounts()})
    counts = ArrayRecord({key: Array(array) for key, array in arrays.items()})
    return RecordDict(
        {
            protocol.IDENTITY: ConfigRecord(identity),
            protocol.REPORT: MetricRecord(dict(REPORT)),
            protocol.COUNTS: counts,
            protocol.COUNT_NAMES: ConfigRecord(dict(names)),
        }
    )
