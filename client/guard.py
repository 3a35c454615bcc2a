"""The process that Flower starts at a site for each message, with the bundle checked before any of it is imported.

    python -P -m client.guard flwr-clientapp --runtime-api-address ... --token ...

SuperExec starts its processes by name from PATH. supernode.sh puts a folder first whose programs start this module. It
goes through Flower's own steps, but for two. The bundle is not unpacked: its bytes are compared with the site's
allowed_code. And the app that answers is the installed clinfed, never a copy that came over the network.
Source: flwr 1.41.0, supercore/superexec/executor/subprocess_executor.py, supernode/runtime/run_clientapp.py.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flwr.app import Context, Message

from client import app as installed
from client import bundle
from clinfed.clinic import permissions
from clinfed.clinic.site import NodeConfig, of_node

TASK = "flwr-clientapp"  # the only kind of process that a site starts; the others run code of a bundle or a model
TESTED = ("1.41.0",)  # versions of Flower whose steps are known to be those of REPLACED
REPLACED = ("install_from_fab", "get_load_client_app_fn", "install_app_dependencies")
READY = "--ready"

App = Callable[..., Message]


def main(task: str, arguments: list[str]) -> None:
    """Answer one message as Flower's own process does. With READY as only argument, say whether that is possible."""
    if complaint := refused_start(task, version("flwr")):
        sys.exit(f"clinfed | refused: {complaint}")
    if arguments == [READY]:
        return
    from flwr.supernode import cli
    from flwr.supernode.runtime import run_clientapp as flower

    if missing := [name for name in REPLACED if not hasattr(flower, name)]:
        sys.exit(f"clinfed | refused: Flower has no {missing[0]} any more; install flwr=={TESTED[-1]}; nothing ran")
    received: list[bytes] = []
    replacements: dict[str, Any] = {
        "install_from_fab": lambda content, **_: received.append(content),
        "get_load_client_app_fn": lambda **_: lambda *_: guarded(received[-1]),
        "install_app_dependencies": _refuse_installation,
    }
    for name in REPLACED:
        setattr(flower, name, replacements[name])
    sys.argv = [task, *arguments]
    cli.flwr_clientapp()


def refused_start(task: str, flower: str) -> str:
    """Return why no such process starts here, "" where it may. flower: the version that is installed."""
    if task != TASK:
        return f"Flower asks for a process {task!r:.40}; a site answers messages only"
    if flower not in TESTED:
        return (
            f"Flower {flower} is installed, and the check of bundles is tested with {', '.join(TESTED)} only; "
            f"install flwr=={TESTED[-1]}; nothing ran"
        )
    return ""


def guarded(content: bytes) -> App:
    """Return what answers a message whose run has this bundle: the installed app, or the site's refusal."""

    def answer(message: Message, context: Context) -> Message:
        try:
            admit(content, context.node_config)
        except Exception as error:  # its text may not leave, whatever it is
            return installed.refusal(error, message, context)
        return installed.app(message, context)

    return answer


def admit(content: bytes, node_config: NodeConfig) -> None:
    """Raise RefusedError unless the site allows the bundle's code, and it holds nothing else."""
    permissions.refuse_unknown_code(of_node(node_config), bundle.code_of(content))


def _refuse_installation(*_: object, **__: object) -> None:
    raise RuntimeError("a site installs nothing at run time")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
