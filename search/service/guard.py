"""Who may talk to the page: this machine's browser, or who brings the token; and nobody through another site's page.

It stands before everything else, pages, files and sockets alike, and answers in words.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "macrotune_token"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
MOST_BODY_BYTES = 25_000_000
"""A request may send this much: one picture."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""Sent with every answer."""


class Guard:
    """ASGI middleware that lets through what may come in."""

    def __init__(
        self, app: App, *, token: str | None = None, cookie: str = COOKIE, names: Collection[str] = LOCAL_NAMES
    ) -> None:
        """Stands before an application.

        Args:
            app: What it guards.
            token: What every request must bring, by `?token=` once and by a cookie from then on; None where the page
                is for this machine alone. Then the name that the browser used must be one of this machine.
            names: By which a browser of this machine may know it, without a port.
            cookie: Its name: browsers tell cookies by the machine and not by the port, and another page may be there.
        """
        self._app = app
        self._cookie = cookie
        self._names = names
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or passes on a request, or a socket's handshake."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if (problem := self._problem(scope, headers)) is not None:
            await _refuse(scope, send, *problem)
        elif (way_on := self._without_token(scope)) is not None:
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, b"", ((b"location", way_on.encode()), (b"set-cookie", cookie.encode())))
        else:
            await self._app(scope, receive, _with_headers(send))

    def _problem(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Status and words of a refusal; None where there is none."""
        host = headers.get("host", "")
        if self._token is None and _name_of(host) not in self._names:
            return 421, f"this page is for 127.0.0.1, not for {host[:80]!r}"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "this request comes from another site"
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "this request comes from another site"
        if self._token is not None and not self._has_token(scope, headers):
            return 401, "give the token that the command printed: open the address with ?token=... at its end"
        if "transfer-encoding" in headers:
            return 411, "say how much is sent before it is"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > MOST_BODY_BYTES:
            return 413, f"at most {MOST_BODY_BYTES / 1e6:.0f} MB at once"
        return None

    def _has_token(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        found = [value for name, value in _query(scope) if name == "token"]
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            cookies.clear()
        if self._cookie in cookies:
            found.append(cookies[self._cookie].value)
        return any(hmac.compare_digest(value.encode(), (self._token or "").encode()) for value in found)

    def _without_token(self, scope: Scope) -> str | None:
        """Where a page that was opened with the token goes on, so that the token does not stay in the address."""
        pairs = _query(scope)
        if self._token is None or scope["type"] != "http" or not any(name == "token" for name, _ in pairs):
            return None
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        path = "/" + str(scope["path"]).lstrip("/")
        return path + (f"?{rest}" if rest else "")


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def in_address(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _name_of(host: str) -> str:
    """A host without its port."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": words})
    else:
        await _answer(send, status, f"{words}\n".encode(errors="replace"))


async def _answer(send: Send, status: int, body: bytes, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
