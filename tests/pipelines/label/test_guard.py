"""Who is let in to MONAI Label: what a browser sends for a web page elsewhere is not, and no more without the token."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from urllib.parse import urlencode

import pytest

from pipelines.label.guard import Guard, check_origin
from transforms import DataError

TOKEN = "a-token-of-some-length"
LOOPBACK = ("127.0.0.1:8000", "localhost:8000", "[::1]:8000")


async def application(scope, receive, send):
    """Answers all requests."""
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"reached"})


def asked(guard, path="/info/", method="GET", kind="http", body=(b"",), **headers):
    """What is sent back; headers are given as ``host="..."``, several as a list."""
    sent, parts = [], list(body)
    pairs = [(name, v) for name, value in headers.items() for v in (value if isinstance(value, list) else [value])]
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in pairs]
    scope = {"type": kind, "path": path, "method": method, "headers": raw}

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent


def status(guard, **request):
    """The status of the answer, which is the application's own if it is 200."""
    first, last = asked(guard, **request)
    assert (first["status"] == 200) == (last["body"] == b"reached")
    return first["status"]


@pytest.fixture
def guard():
    return Guard(application, 8000)


@pytest.fixture
def locked():
    return Guard(application, 8000, ["https://viewer.example"], TOKEN)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_this_machine_is_let_in_by_its_names(guard):
    for host in (*LOOPBACK, "LOCALHOST:8000"):
        assert status(guard, host=host) == 200
        assert status(guard, host=host, origin=f"http://{host}", method="POST") == 200
        assert status(guard, host=host, sec_fetch_site="none") == 200  # typed by the user
        assert status(guard, host=host, sec_fetch_site="same-origin") == 200


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:8000",
            "127.0.0.1.evil.example:8000",
            "localhost.evil.example:8000",
            "127.0.0.1",
        ),
        *("127.0.0.1:80", "127.0.0.1:80000", "127.1:8000", "2130706433:8000", "0.0.0.0:8000", "[::]:8000", "", ":8000"),
        *(
            "localhost:8000@evil.example",
            "user@localhost:8000",
            "localhost:8000/",
            " localhost:8000",
            "localhost.:8000",
        ),
        ["localhost:8000", "evil.example:8000"],
        ["localhost:8000", "localhost:8000"],
        [],
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(guard, host):
    """A page of a host whose name was led to 127.0.0.1 is of the same origin to the browser: no Origin is sent."""
    assert status(guard, host=host) == 421
    assert status(guard, host=host, sec_fetch_site="same-origin") == 421
    assert asked(guard, kind="websocket", host=host) == [
        {"type": "websocket.close", "code": 1008, "reason": "not a name of this server; see --allow-origin"}
    ]


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "http://evil.example",
            "https://localhost:8000",
            "http://localhost",
            "http://localhost:3000",
            "null",
            "",
            "*",
        ),
        *("http://localhost:8000.evil.example", "file://", "http://127.0.0.1:8001", "http://localhost:8000/"),
        ["http://localhost:8000", "http://evil.example"],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_web_page_elsewhere_is_refused(guard, origin, method):
    assert status(guard, method=method, host="localhost:8000", origin=origin) == 403
    (closed,) = asked(guard, kind="websocket", host="localhost:8000", origin=origin)
    assert closed["type"] == "websocket.close"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_what_a_page_elsewhere_embeds_is_refused(guard, site):
    """Pictures, scripts and frames bear no Origin."""
    assert status(guard, host="localhost:8000", sec_fetch_site=site, sec_fetch_dest="image") == 403


def test_allowed_origins_are_let_in_and_no_others():
    guard = Guard(application, 8000, ["http://localhost:3000", "HTTPS://Viewer.Example:443/"])
    for origin in ("http://localhost:3000", "https://viewer.example"):
        assert status(guard, host="localhost:8000", origin=origin, sec_fetch_site="cross-site") == 200
    assert status(guard, host="viewer.example", origin="https://viewer.example") == 200  # behind a proxy
    assert status(guard, host="localhost:8000", origin="http://viewer.example") == 403
    assert status(guard, host="localhost:8000", origin="http://localhost:3001") == 403


def test_names_need_no_port_where_it_is_the_usual_one():
    guard = Guard(application, 80)
    assert status(guard, host="localhost") == 200
    assert status(guard, host="localhost", origin="http://localhost") == 200


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:3000/", "http://localhost:3000"),
        ("https://A.example:443", "https://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_origins_are_as_browsers_write_them(origin, expected):
    assert check_origin(origin) == expected


@pytest.mark.parametrize(
    "origin", ["*", "null", "localhost:3000", "ftp://a", "http://", "http://a/b", "http://a b", "http://*.a"]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(DataError, match="is no origin of web pages"):
        check_origin(origin)


# With a token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic("", TOKEN), basic("anyone", TOKEN)],
    ids=lambda given: given[:9],
)
def test_who_has_the_token_is_let_in(locked, given):
    assert status(locked, host="localhost:8000", authorization=given) == 200


@pytest.mark.parametrize(
    "given",
    [
        *(
            [],
            "",
            TOKEN,
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            "Bearer",
            "Bearer ",
            f"Token {TOKEN}",
            "Bearer None",
        ),
        *(basic(TOKEN, ""), basic("", TOKEN.upper()), "Basic !", "Basic " + "/w==", basic("", "é")),
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
    ],
)
def test_who_has_not_is_asked_for_it(locked, given):
    first, _ = asked(locked, host="localhost:8000", authorization=given)
    assert first["status"] == 401
    assert (b"www-authenticate", b'Basic realm="MONAI Label", charset="UTF-8"') in first["headers"]
    (closed,) = asked(locked, kind="websocket", path="/auth/", host="localhost:8000", authorization=given)
    assert closed["type"] == "websocket.close"


def test_the_token_opens_no_other_door(locked):
    """A page elsewhere may get a browser to send what it has stored."""
    for path, method in itertools.product(("/info/", "/auth/", "/auth/token"), ("GET", "POST")):
        request = {"path": path, "method": method, "authorization": basic("", TOKEN)}
        assert asked(locked, host="evil.example:8000", **request)[0]["status"] == 421
        assert asked(locked, host="localhost:8000", origin="http://evil.example", **request)[0]["status"] == 403
        assert asked(locked, host="localhost:8000", sec_fetch_site="cross-site", **request)[0]["status"] == 403


def test_preflights_bear_no_token(locked):
    preflight = {"method": "OPTIONS", "access_control_request_method": "POST", "host": "localhost:8000"}
    assert status(locked, origin="https://viewer.example", **preflight) == 200
    assert status(locked, origin="http://evil.example", **preflight) == 403
    assert status(locked, origin="https://viewer.example", method="OPTIONS", host="localhost:8000") == 401


def answer(guard, **request):
    first, last = asked(guard, host="localhost:8000", **request)
    return first["status"], json.loads(last["body"])


def test_monai_labels_client_can_log_in(locked):
    assert answer(locked, path="/auth/") == (200, {"enabled": True})
    form = urlencode({"username": "x", "password": TOKEN, "grant_type": "password"}).encode()
    given = answer(locked, path="/auth/token", method="POST", body=(form[:10], form[10:]))
    assert given == (200, {"access_token": TOKEN, "token_type": "bearer"})
    assert answer(locked, path="/auth/token/valid", authorization=f"bearer {TOKEN}")[0] == 200
    assert answer(locked, path="/auth/token/valid")[0] == 401


@pytest.mark.parametrize(
    "form", [b"", b"password=", b"password=x", b"username=" + TOKEN.encode(), b"\xff", b"x" * 10**6]
)
def test_who_gives_another_password_gets_no_token(locked, form):
    code, told = answer(locked, path="/auth/token", method="POST", body=(form, b"&password=" + TOKEN.encode() * 0))
    assert code == 401 and TOKEN not in str(told)


def test_without_a_token_there_is_no_login(guard):
    assert status(guard, host="localhost:8000", path="/auth/") == 200  # the application's own


def test_the_servers_own_events_pass(guard):
    assert asked(guard, kind="lifespan") == [{"type": "lifespan.startup.complete"}]
