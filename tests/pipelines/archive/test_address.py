from __future__ import annotations

import pytest
import requests

from pipelines.archive.address import split_login
from transforms import DataError


def header(login):
    request = requests.Request("GET", "http://localhost").prepare()
    return login(request).headers["Authorization"]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("TOKEN", "USER", "PASSWORD"):
        monkeypatch.delenv(f"OF_TEST_{name}", raising=False)


def test_the_login_is_taken_out_of_the_url():
    url, login = split_login("https://jane:p%40ss@pacs.example:8443/dicom-web/", "OF_TEST")
    assert url == "https://pacs.example:8443/dicom-web"
    assert header(login) == "Basic amFuZTpwQHNz"  # base64 of jane:p@ss
    assert split_login("http://[::1]:8042/dicom-web", "OF_TEST") == ("http://[::1]:8042/dicom-web", None)


def test_the_environment_comes_first(monkeypatch):
    monkeypatch.setenv("OF_TEST_USER", "a")
    monkeypatch.setenv("OF_TEST_PASSWORD", "b")
    assert header(split_login("http://jane:pass@localhost", "OF_TEST")[1]) == "Basic YTpi"  # a:b
    monkeypatch.setenv("OF_TEST_TOKEN", "abc")
    assert header(split_login("http://localhost", "OF_TEST")[1]) == "Bearer abc"
    assert split_login("http://localhost", "ANOTHER")[1] is None  # a login is not sent to another service


@pytest.mark.parametrize(
    "url", ["http://", "ftp://a/b", "http://a:port/b", "http://a/b?token=secret", "http://a/b#secret"]
)
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(DataError, match="none of DICOMweb") as refused:
        split_login(url, "OF_TEST")
    assert "secret" not in str(refused.value)
