"""Handlers of a worker under test: they answer at once, die, hang or fail."""

import os
import signal
import time

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
answered = [0]


@app.query("who")
def who(message: Message, context: Context) -> Message:
    """Say which process this is, and how often it has answered."""
    answered[0] += 1
    return Message(RecordDict({"who": MetricRecord({"pid": os.getpid(), "answered": answered[0]})}), reply_to=message)


@app.query("die")
def die(message: Message, context: Context) -> Message:
    """End as a process that the kernel kills."""
    os.abort()


@app.query("hang")
def hang(message: Message, context: Context) -> Message:
    """Answer to nobody's use."""
    time.sleep(600)
    return Message(RecordDict(), reply_to=message)


@app.query("stop")
def stop(message: Message, context: Context) -> Message:
    """Hang as a process in which nothing runs any more, its own watch neither."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return Message(RecordDict(), reply_to=message)


@app.query("fail")
def fail(message: Message, context: Context) -> Message:
    """Fail with a note's words in the exception."""
    raise ValueError(f"canarytext of {context.node_config['notes']}")
