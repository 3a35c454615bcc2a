"""Who may read the notes: whoever has the printed address, at this machine and nowhere else.

Other users of the machine reach its loopback ports, and so do pages that the reader has open elsewhere. So the address
holds a token, which the first visit exchanges for a cookie; requests for another host name are refused, since a name
that is made to point at 127.0.0.1 would be a page's own; and the page may load nothing but its own files. Cookies of a
host are sent to all its ports: the cookie's path, random too, keeps it from whoever listens at another one. What
changes anything must come from this very page: browsers name it in the header Origin.
"""

import secrets
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Not a 303: where the visit began at another site, as from --open's file, the redirected request would go without a
# SameSite=Strict cookie. What this page asks for is the reader's own.
WELCOME = (
    '<!doctype html><meta charset="utf-8"><title>clinfed review</title><meta http-equiv="refresh" content="0; url=./">'
)
CLOSED = "Open the address that clinfed review has printed.\n"


@dataclass(frozen=True)
class Address:
    """Where the page is. place: a random folder, that stays in the browser's address; token: what opens it."""

    port: int
    place: str = field(default_factory=lambda: secrets.token_hex(8))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def url(self) -> str:
        """Return what the reader opens first."""
        return f"http://127.0.0.1:{self.port}/{self.place}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Return the cookie's name, another one for each page that is served at the same time."""
        return f"clinfed_review_{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return what the Host header may be."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"


@dataclass(frozen=True)
class Access:
    """The application behind the token, with headers that keep what it answers in this browser."""

    app: ASGIApp
    address: Address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (self._answer(Request(scope)) or self.app)(scope, receive, guarded)

    def _answer(self, request: Request) -> Response | None:
        """Return a refusal or the welcome, None where the application may answer."""
        if request.headers.get("host") not in self.address.hosts:
            return PlainTextResponse("Unknown host.\n", 400)
        if not self._is_own(request):
            return PlainTextResponse("Not from this page.\n", 403)
        inside = f"/{self.address.place}/"
        if request.url.path == inside and self._is_token(request.query_params.get("token")):
            welcome = HTMLResponse(WELCOME)
            token = self.address.token
            welcome.set_cookie(self.address.cookie, token, path=inside, httponly=True, samesite="strict")
            return welcome
        if request.url.path.startswith(inside) and self._is_token(request.cookies.get(self.address.cookie)):
            return None
        return PlainTextResponse(CLOSED, 403)

    def _is_own(self, request: Request) -> bool:
        """Return whether a request changes nothing, or comes from this page."""
        own = f"http://{request.headers.get('host')}"  # a known host by now
        return request.method in ("GET", "HEAD") or request.headers.get("origin") == own

    def _is_token(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self.address.token.encode())
