"""The page as an application, and its server on this machine's loopback interface."""

import json
import socket
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from clinfed.errors import UserError
from clinfed.review.door import Address, Door
from clinfed.review.notes import Review

HERE = Path(__file__).parent
FILES = {"": ("page.html", "text/html"), "review.js": ("review.js", "text/javascript")}
FILES |= {"review.css": ("review.css", "text/css")}
LOOPBACK = "127.0.0.1"


def make_app(review: Review, address: Address) -> ASGIApp:
    """Return the page behind its door: texts go out one note at a time, by the note's number."""
    index = json.dumps(review.index(), ensure_ascii=False, separators=(",", ":")).encode()

    def note(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(review.notes):
            raise HTTPException(404)
        return JSONResponse(review.note(number))

    routes = [Route(f"/{path}", _file(*file)) for path, file in FILES.items()]
    routes.append(Route("/index.json", lambda request: Response(index, media_type="application/json")))
    routes.append(Route("/notes/{number:int}.json", note))
    return Door(Starlette(routes=[Mount(f"/{address.place}", routes=routes)]), address)


def _file(name: str, media_type: str):
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
