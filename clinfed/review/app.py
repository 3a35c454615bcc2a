"""The page as an application, and its server on this machine's loopback interface."""

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from clinfed.disk import mistake
from clinfed.errors import UserError
from clinfed.review.access import Access, Address
from clinfed.review.corrections import MOST_BYTES, RefusedError
from clinfed.review.desk import Desk

HERE = Path(__file__).parent
FILES = {"": ("page.html", "text/html"), "review.css": ("review.css", "text/css")}
FILES |= {script: (script, "text/javascript") for script in ("review.js", "corrections.js")}
LOOPBACK = "127.0.0.1"


def make_app(desk: Desk, address: Address) -> ASGIApp:
    """Return the page behind its access check: texts go out one note at a time; corrections come in."""

    def index(request: Request) -> Response:
        return JSONResponse(desk.index())

    def note(request: Request) -> Response:
        return JSONResponse(desk.note(_number(request, desk)))

    # Not in a thread: one correction is taken after the other.
    async def correct(request: Request) -> Response:
        try:
            return JSONResponse(desk.correct(_number(request, desk), await _body(request)))
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except OSError as error:
            if (reason := mistake(error, unnamed=str(desk.file.path))) is None:
                raise
            return JSONResponse({"error": f"{reason}; nothing was saved"}, 507)

    routes = [Route(f"/{path}", _file(*file)) for path, file in FILES.items()]
    routes += [Route("/index.json", index), Route("/notes/{number:int}.json", note)]
    routes.append(Route("/notes/{number:int}/correction", correct, methods=["POST"]))
    return Access(Starlette(routes=[Mount(f"/{address.place}", routes=routes)]), address)


def _number(request: Request, desk: Desk) -> int:
    number = int(request.path_params["number"])
    if number >= len(desk.review.notes):
        raise HTTPException(404)
    return number


async def _body(request: Request) -> bytes:
    """Return what was sent. Raises: RefusedError for another kind, or for more than any correction needs."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError("not a correction; expected application/json", 415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise RefusedError(f"a correction of more than {MOST_BYTES:,} bytes", 413)
    return body


def _file(name: str, media_type: str) -> Callable[[Request], Response]:
    content = (HERE / name).read_bytes()
    return lambda request: Response(content, media_type=f"{media_type}; charset=utf-8")


def listening(port: int) -> socket.socket:
    """Return a socket that listens on loopback; port 0 takes a free one. Raises: UserError where it cannot."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # again, right after it ended
        bound.bind((LOOPBACK, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or "no port"
        expected = "a free port, 1024 to 65535; name another, or leave --port out to take a free one"
        raise UserError(f"--port {port}: {reason}; expected {expected}") from None
    return bound


def serve(app: ASGIApp, bound: socket.socket) -> None:
    """Serve until a signal ends it. No request is logged: neither ids nor numbers of notes."""
    settings = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,  # seconds; a browser keeps its connection open
    )
    uvicorn.Server(settings).run(sockets=[bound])
