"""The clinic's side of Flower: message in, plain records to the clinic, message out."""

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Message, RecordDict
from flwr.app.error import Error
from flwr.clientapp import ClientApp

from client import relay
from clinfed import protocol
from clinfed.clinic import permissions
from clinfed.home import clinic_folder
from clinfed.runs.backend import Content, Failed

if TYPE_CHECKING:
    from clinfed.clinic.ledger import Origin


def to_the_worker(message: Message, context: Context, work_here: Callable[[Message, Context], Message]) -> Message:
    """Let the site's warm worker answer, which runs the handlers below; a simulated clinic answers in this process."""
    if not relay.is_wanted(context.node_config):
        return work_here(message, context)
    try:
        permissions.admit_code(context.node_config)
        answer = relay.ask(message, context, relay.worker_of(context))
        show_refusal(answer)
    except Exception as error:
        return refusal(error, message, context)
    return answer


app = ClientApp(mods=[to_the_worker])


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Load everything, and say who this is and what it runs, before anything is trained."""
    return answered(protocol.HELLO, message, context)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global adapter on the clinic's notes for one round."""
    return answered(protocol.TRAIN, message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global adapter on one split of the clinic's notes."""
    return answered(protocol.EVALUATE, message, context)


def answered(kind: str, message: Message, context: Context) -> Message:
    """Return the clinic's answer to the message, whose tensors are let go before the work begins."""
    from clinfed.backends.records import from_flower
    from clinfed.clinic import answers

    question = from_flower(message.content)
    message.content = RecordDict()
    origin = origin_of(context)
    overrides, manifest = shlex.split(origin.overrides), str(context.run_config.get("manifest", ""))
    return reply(answers.answer(kind, question, context.node_config, overrides, manifest, origin), message)


def origin_of(context: Context) -> "Origin":
    """Return what Flower says of where a message comes from."""
    from clinfed.clinic.ledger import Origin

    return Origin(context.run_id, str(context.run_config["overrides"]))


def refusal(error: Exception, message: Message, context: Context) -> Message:
    """Return what may be told of an error on the way to a real site's worker; a refusal is written down first."""
    from clinfed.clinic import answers

    asked: Any = message.content.get(protocol.QUESTION, {}) if message.has_content() else {}
    answers.keep_refusal(error, message.metadata.message_type, asked, origin_of(context))
    return reply(answers.failed(protocol.Failure.WORKER, error), message)


def reply(answer: Content | Failed, message: Message) -> Message:
    """Return the answer as Flower sends it."""
    from clinfed.backends.records import to_flower

    if isinstance(answer, Failed):
        return Message(Error(answer.code, answer.reason), reply_to=message)
    return Message(to_flower(answer), reply_to=message)


def show_refusal(answer: Message) -> None:
    """Print that the site's worker has refused a run; the worker's log has the whole line."""
    if answer.has_error() and answer.error.code == protocol.Failure.REFUSED:
        log = clinic_folder("worker") / relay.LOG
        print(f"clinfed | refused: {answer.error.reason}; the reason is in {log}", file=sys.stderr, flush=True)
