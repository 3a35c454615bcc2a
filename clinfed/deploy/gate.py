"""The coordinator's only open port: the calls of Flower's Fleet API that sites need, and nothing else.

A SuperLink serves sites, operators and its own processes at one port, and its control API has no password. Anybody who
reaches that port may register a key or start a run, and a run is code that sites execute. So the SuperLink listens on
loopback, and the gate forwards the ten calls of a SuperNode, whose signatures the SuperLink checks. TLS on both sides.
"""

import logging
import ssl
from pathlib import Path

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

CALLS = (
    "activate-node deactivate-node send-node-heartbeat pull-messages push-messages get-run get-fab push-object "
    "pull-object confirm-message-received"
)
FORWARDED = {("POST", f"/v1/fleet/{call}") for call in CALLS.split()} | {("GET", "/health")}
BODY_LIMIT_BYTES = 8 * 1024 * 1024  # Flower sends tensors in pieces of 5 MiB, and nothing else of a SuperNode is large
CONNECTIONS_LIMIT = 256  # times the limit above, 2 GiB, is the most memory that strangers can make the gate use
LINK_LIMIT_S = 30.0  # as Flower's own clients wait
# Whoever sends closes an idle connection first, or a call could go out on one that is just being closed: the SuperLink
# closes after 5 s and so do SuperNodes, which ask every 3 s.
LINK_IDLE_S, SITE_IDLE_S = 4.0, 10
# Of one connection, not of the message; the length is written anew, and no body is compressed on the way.
NOT_FORWARDED = {"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
NOT_FORWARDED |= {"accept-encoding", "content-encoding", "server", "date"}

log = logging.getLogger("clinfed.gate")


class TooLargeError(Exception):
    """A request whose body is over BODY_LIMIT_BYTES."""


class Gate:
    """The gate as an ASGI application in front of the SuperLink at an address of this machine."""

    def __init__(self, link: str, verify: ssl.SSLContext | bool) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS_LIMIT, keepalive_expiry=LINK_IDLE_S)
        # No proxy of the environment stands between two processes of one machine.
        self.client = httpx.AsyncClient(
            base_url=link, verify=verify, timeout=LINK_LIMIT_S, limits=limits, trust_env=False
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # no websocket passes, and there is nothing to start or stop
            return
        request = Request(scope, receive)
        await (await self.answer(request))(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Return the SuperLink's answer, or a refusal that tells nothing of what lies behind."""
        path, peer = request.scope["path"], request.client.host if request.client else "?"
        if (request.method, path) not in FORWARDED:
            log.warning("refused %s %r from %s", request.method, path[:100], peer)
            return Response(status_code=404)
        try:
            body = await _read(request)
            headers = [pair for pair in request.headers.items() if pair[0] not in NOT_FORWARDED]
            answer = await self.client.request(request.method, path, content=body, headers=headers)
        except TooLargeError:
            log.warning("refused a body of more than %d bytes from %s", BODY_LIMIT_BYTES, peer)
            return Response(status_code=413, headers={"connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        except httpx.TransportError as error:
            log.warning("the SuperLink does not answer: %s", type(error).__name__)
            return Response(status_code=503)  # a SuperNode then tries again
        kept = {name: value for name, value in answer.headers.items() if name not in NOT_FORWARDED}
        return Response(answer.content, answer.status_code, kept)


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_LIMIT_BYTES:
            raise TooLargeError
    return bytes(body)


def serve(folder: Path, *, listen: str, port: int, link_port: int) -> None:
    """Serve the gate of the coordinator whose folder this is, until a signal ends the process."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    verify = ssl.create_default_context(cafile=folder / "ca.crt")
    gate: ASGIApp = Gate(f"https://127.0.0.1:{link_port}", verify)
    uvicorn.run(
        gate,
        host=listen,
        port=port,
        ssl_certfile=folder / "server.crt",
        ssl_keyfile=str(folder / "server.key"),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is who is connected, not who a header names
        limit_concurrency=CONNECTIONS_LIMIT,
        timeout_keep_alive=SITE_IDLE_S,
    )
