"""Lets in who may ask MONAI Label: middleware around its application, for any ASGI server. Knows nothing of MONAI.

A server on the loopback interface is within reach of every web page that is open in a browser on the machine. A page
may send requests there, and by DNS rebinding (its own host's name leads to 127.0.0.1 after a while) read the answers as
if they were its own. Its requests then bear the name of that host, which is what tells them apart.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from transforms import DataError

SETTINGS = "RADBUNDLES_LABEL_GUARD"  # the variable of the environment that tells the server of its guard, in JSON
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
DEFAULT_PORTS = {"http": "80", "https": "443"}  # which browsers leave out
MAX_FORM = 4096  # bytes of a login

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Guard:
    """Answers requests itself that may not reach the application.

    - 421 to a Host that is not one of the server's names: DNS rebinding (RFC 9110, 7.4).
    - 403 to an Origin that is not one of them (the Fetch standard, 3.2), and to what a browser says to come from
      another site without one (Sec-Fetch-Site of Fetch Metadata), such as pictures and frames.
    - 401 to a request without the token, if there is one: ``Authorization: Bearer TOKEN`` (RFC 6750), or by Basic
      (RFC 7617) with any user and the token as its password, which browsers ask for. Preflights (OPTIONS) bear none.

    With a token it also answers MONAI Label's ``/auth/``, so that its client and 3D Slicer ask for a password, which is
    the token.

    Args:
        application: what is guarded.
        port: the server's, on this machine.
        origins: of web pages elsewhere that may ask, as ``https://viewer.example``; a server may be reached by their
            names too, as behind a proxy.
        token: what requests must bear, or None.
    """

    def __init__(self, application: Application, port: int, origins: Iterable[str] = (), token: str | None = None):
        self.application = application
        self.origins = {check_origin(o) for o in (*(f"http://{name}:{port}" for name in LOOPBACK), *origins)}
        self.hosts = {urlsplit(origin).netloc for origin in self.origins}
        self.token = token

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI has it; what is neither HTTP nor a WebSocket is passed on."""
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        status, why = self._judge(scope, headers)
        if status is not HTTPStatus.OK:
            await _refuse(scope, send, status, why)
        elif self.token is not None and scope["type"] == "http" and scope["path"].startswith("/auth/"):
            await self._log_in(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    def _judge(self, scope: MutableMapping[str, Any], headers: dict[str, list[str]]) -> tuple[HTTPStatus, str]:
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "not a name of this server; see --allow-origin"
        if any(origin.lower() not in self.origins for origin in origins):
            return HTTPStatus.FORBIDDEN, "not a web page that may ask; see --allow-origin"
        if not origins and headers.get("sec-fetch-site", ["none"])[0] not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN, "sent by another web page"
        preflight = scope.get("method") == "OPTIONS" and "access-control-request-method" in headers
        login = scope["type"] == "http" and scope["path"] in ("/auth/", "/auth/token")
        if self.token is None or preflight or login or self._knows_token(headers.get("authorization", [])):
            return HTTPStatus.OK, ""
        return HTTPStatus.UNAUTHORIZED, "the token is missing or another"

    def _knows_token(self, authorization: list[str]) -> bool:
        if len(authorization) != 1:
            return False
        scheme, _, given = authorization[0].partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme.lower() != "bearer":
            return False
        return self._is_token(given)

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    async def _log_in(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """What MONAI Label's client asks for: whether to log in, the token for a password, whether a token is good."""
        if scope["path"] == "/auth/token" and scope["method"] == "POST":
            form, more = b"", True
            while more and len(form) <= MAX_FORM:
                message = await receive()
                form, more = form + message.get("body", b""), message.get("more_body", False)
            password = parse_qs(form.decode("latin-1")).get("password", [""])[0]
            if not self._is_token(password):
                await _refuse(scope, send, HTTPStatus.UNAUTHORIZED, "the token is missing or another")
                return
            await _answer(send, HTTPStatus.OK, {"access_token": password, "token_type": "bearer"})
        else:
            await _answer(send, HTTPStatus.OK, {"enabled": True})


def check_origin(origin: str) -> str:
    """An origin as browsers write it: scheme, host, and the port if it is not that of the scheme.

    Raises:
        DataError: if it is none.
    """
    found = re.fullmatch(r"(https?)://([\w.-]+|\[[0-9a-f:]+\])(?::(\d+))?/?", origin.lower(), re.ASCII)
    if not found:
        raise DataError(f"{origin}: is no origin of web pages. Give one as http://localhost:3000 or https://a.example.")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS[scheme] else "")


async def _refuse(scope: MutableMapping[str, Any], send: Send, status: HTTPStatus, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why})  # before it is accepted: 403
        return
    ask = [(b"www-authenticate", b'Basic realm="MONAI Label", charset="UTF-8"'), (b"www-authenticate", b"Bearer")]
    await _answer(send, status, {"detail": why}, ask if status is HTTPStatus.UNAUTHORIZED else [])


async def _answer(
    send: Send, status: HTTPStatus, content: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps(content).encode()
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": int(status)}
    await send(start | {"headers": [(b"content-type", b"application/json"), length, *headers]})
    await send({"type": "http.response.body", "body": body})
