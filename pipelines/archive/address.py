"""The address of a DICOMweb service and the login for it, which is kept out of all that is written and said."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from transforms import DataError


class Bearer(AuthBase):
    """A token that a request bears (RFC 6750)."""

    def __init__(self, token: str):
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def split_login(url: str, variables: str) -> tuple[str, AuthBase | None]:
    """A service's URL without what is secret in it, and the login.

    The login is that of the environment: ``<variables>_TOKEN``, or ``<variables>_USER`` and ``<variables>_PASSWORD``;
    else that of the URL. Without either, requests looks into netrc.

    Args:
        url: with http or https.
        variables: how the names of the environment's variables begin.

    Raises:
        DataError: if the URL is none, or has a query, which may hold a secret; it is not repeated then.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise DataError("the URL of the service is none of DICOMweb. Give one as http://localhost:8042/dicom-web.")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port else ""
    plain = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    token, user, password = (os.environ.get(f"{variables}_{name}") for name in ("TOKEN", "USER", "PASSWORD"))
    if token:
        return plain, Bearer(token)
    if user:
        return plain, HTTPBasicAuth(user, password or "")
    if parts.username is not None:
        return plain, HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
    return plain, None
