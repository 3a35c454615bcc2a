"""Another local process answers in a site's name: it has the task's token, the question, and no key of the site.

Python imports this module at its start where its folder is on PYTHONPATH, as it is at one site of the test only. What
the site's worker has signed goes by; the process that hands it over puts other tensors in: those that were sent, which
is an update of zero, and which every other rule lets pass.
"""

import os
from copy import deepcopy

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

honest = ClientApp.__call__


def forging(self: ClientApp, message: Message, context: Context) -> Message:
    sent = deepcopy(message.content)
    reply = honest(self, message, context)
    if "CLINFED_INSIDE_WORKER" in os.environ or message.metadata.message_type != "train" or reply.has_error():
        return reply
    content = deepcopy(reply.content)
    content["adapter"] = sent["adapter"]
    return Message(content, reply_to=message)


ClientApp.__call__ = forging
