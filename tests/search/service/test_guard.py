"""Who gets past the guard: this machine's own browser, or who has the token; nobody through another site."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from search.service.guard import COOKIE, LOCAL_NAMES, MOST_BODY_BYTES, Guard, in_address

TOKEN = "a-token-of-24-characters"


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    headers: dict[str, str], *, token: str | None = None, kind: str = "http", method: str = "GET", query: str = ""
) -> list[dict[str, Any]]:
    """What the guard sends back."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {
        "type": kind,
        "method": method,
        "path": "/run/a",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    asyncio.run(Guard(app, token=token)(scope, receive, send))
    return sent


def status(*args: Any, **more: Any) -> int:
    return int(ask(*args, **more)[0].get("status", -1))


@pytest.mark.parametrize("host", ["127.0.0.1:8470", "localhost:8470", "[::1]:8470", "localhost"])
def test_this_machine_comes_in_by_any_of_its_names(host: str) -> None:
    sent = ask({"host": host})
    assert sent[0]["status"] == 200
    assert (b"x-frame-options", b"DENY") in sent[0]["headers"]


@pytest.mark.parametrize("host", ["evil.example:8470", "127.0.0.1.evil.example", "192.168.0.7:8470", ""])
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert status({"host": host}) == 421


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://localhost:8470.evil"]
)
def test_a_request_that_another_site_makes_is_refused(kind: str, origin: str) -> None:
    sent = ask({"host": "127.0.0.1:8470", "origin": origin}, kind=kind, method="POST")
    assert sent[0].get("status") == 403 if kind == "http" else sent[0]["type"] == "websocket.close"


def test_a_form_of_another_site_is_refused_also_without_an_origin() -> None:
    assert status({"host": "127.0.0.1:8470", "sec-fetch-site": "cross-site"}, method="POST") == 403
    assert status({"host": "127.0.0.1:8470", "origin": "http://127.0.0.1:8470"}, method="POST") == 200


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=wrong", f"{COOKIE}=", "=;;;", f"other={TOKEN}", f"{COOKIE}=é"])
def test_with_a_token_nobody_comes_in_without_it(cookie: str) -> None:
    assert status({"host": "gpu:8470", "cookie": cookie}, token=TOKEN) == 401
    assert ask({"host": "gpu:8470", "cookie": cookie}, token=TOKEN, kind="websocket")[0]["type"] == "websocket.close"


def test_a_wrong_token_in_the_address_is_refused_and_the_right_one_moves_into_a_cookie() -> None:
    assert status({"host": "gpu"}, token=TOKEN, query="token=wrong") == 401
    sent = ask({"host": "gpu"}, token=TOKEN, query=f"token={TOKEN}&x=1")
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 303
    assert headers[b"location"] == b"/run/a?x=1"
    assert b"HttpOnly; SameSite=Strict" in headers[b"set-cookie"]
    assert status({"host": "gpu", "cookie": f"{COOKIE}={TOKEN}"}, token=TOKEN) == 200


def test_a_page_of_another_address_of_this_machine_answers_by_it() -> None:
    guard = Guard(_never, names=LOCAL_NAMES | {in_address("127.0.0.2"), in_address("::1")})
    scope = {"type": "http", "method": "GET"}
    assert guard._problem(scope, {"host": "127.0.0.2:8470"}) is None
    assert guard._problem(scope, {"host": "[::1]:8470"}) is None
    assert Guard(_never)._problem(scope, {"host": "127.0.0.2:8470"}) is not None


def test_pages_on_two_ports_of_a_machine_have_a_cookie_each() -> None:
    guards = [Guard(_never, token=token, cookie=f"{COOKIE}_{port}") for token, port in (("a", 1), ("b", 2))]
    headers = {"cookie": f"{COOKIE}_1=a; {COOKIE}_2=b"}
    assert [guard._has_token({"type": "http", "query_string": b""}, headers) for guard in guards] == [True, True]
    assert not guards[0]._has_token({"type": "http", "query_string": b""}, {"cookie": f"{COOKIE}_2=a"})


async def _never(*_: object) -> None:
    raise AssertionError


def test_a_body_that_does_not_say_its_size_is_refused() -> None:
    assert status({"host": "localhost", "transfer-encoding": "chunked"}, method="POST") == 411


@pytest.mark.parametrize("length", [str(MOST_BODY_BYTES + 1), "-1", "many", "٣"])
def test_a_body_that_is_too_large_or_of_no_size_is_refused(length: str) -> None:
    headers = {"host": "localhost", "content-length": length.encode().decode("latin-1")}
    assert status(headers, method="POST") == 413
