"""What a web page in a user's browser would do, done to a running MONAI Label. Runs in MONAI Label's environment."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec

import pytest

from pipelines import draw_phantoms
from tests.conftest import ROOT
from tests.pipelines.label.serving import Server, free_port

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]
VIEWER = "http://localhost:3000"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts MONAI Label by the project's command, with a radiograph; gives the server."""
    folder, running = tmp_path_factory.mktemp("served"), []
    shutil.copytree(ROOT / "bundles" / "lungs", folder / "lungs", ignore=shutil.ignore_patterns("phantoms", "cache"))
    draw_phantoms(folder / "phantoms", patients=10, size=64, seed=5, truth="lungs")
    (folder / "studies").mkdir()
    shutil.copy(sorted((folder / "phantoms" / "images").glob("*.png"))[0], folder / "studies" / "secret.png")

    def run(name, *options, **headers):
        port, own = free_port(), folder / name
        own.mkdir()
        command = [
            sys.executable,
            "-m",
            "pipelines",
            "label",
            str(folder / "lungs"),
            "--studies",
            str(folder / "studies"),
        ]
        command += ["--app", str(own / "app"), "--port", str(port), *options]
        settings = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        running.append(Server(command, f"http://127.0.0.1:{port}", own, "/info/", headers, **settings))
        return running[-1]

    yield run
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def server(start):
    return start("open", "--allow-origin", VIEWER)


IMAGE = "/datastore/image?image=secret"
REQUESTS = [
    *(("GET", IMAGE), ("GET", "/info/"), ("GET", "/datastore/?output=all"), ("GET", "/logs/"), ("GET", "/")),
    *(("POST", "/infer/lungs?image=secret&output=image"), ("POST", "/reload"), ("DELETE", "/datastore/?id=secret")),
    *(("GET", "/openapi.json"), ("GET", "/static/ohif/index.html"), ("OPTIONS", "/info/")),
]


def test_the_user_is_let_in(server):
    assert server.good("GET", IMAGE).content.startswith(b"\x89PNG")
    assert server.good("GET", IMAGE, headers={"Sec-Fetch-Site": "none"})
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert server.good("POST", "/infer/lungs?image=secret&output=image", headers=own, data={"params": "{}"}).content


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_page_reads_nothing_by_dns_rebinding(server, method, path):
    """Its host's name leads to 127.0.0.1 now: the request arrives here, and bears that name."""
    port = server.url.rpartition(":")[2]
    answer = server(method, path, headers={"Host": f"evil.example:{port}", "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 421 and answer.json() == {"detail": "not a name of this server; see --allow-origin"}


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_page_elsewhere_neither_reads_nor_starts_anything(server, method, path):
    answer = server(method, path, headers={"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403 and "Access-Control-Allow-Origin" not in answer.headers
    assert server(method, path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert server.good("GET", IMAGE)  # which nothing has removed


def test_an_allowed_page_reads_and_may_say_so_to_the_browser(server):
    answer = server.good("GET", IMAGE, headers={"Origin": VIEWER, "Sec-Fetch-Site": "same-site"})
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["Access-Control-Allow-Origin"] in (VIEWER, "*")
    asks = {"Origin": VIEWER, "Access-Control-Request-Method": "POST"}
    assert server.good("OPTIONS", "/infer/lungs", headers=asks).headers["Access-Control-Allow-Methods"]


def test_the_token_is_asked_for_and_told_nobody(start, tmp_path):
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("a-token-of-some-length")
    token = file.read_text()
    server = start("locked", "--token", str(file), Authorization=f"Bearer {token}")
    assert server("GET", "/info/", headers={"Authorization": None}).status_code == 401
    assert server("GET", IMAGE, headers={"Authorization": "Bearer another"}).status_code == 401
    assert server("GET", IMAGE, headers={"Authorization": None}, auth=("anyone", token)).ok  # a browser's password
    assert server.good("GET", IMAGE).content.startswith(b"\x89PNG")
    with open(f"/proc/{server.process.pid}/cmdline") as command:
        assert token not in command.read()
    logged = "".join(path.read_text() for path in server.log.parent.rglob("*.log"))
    assert "Uvicorn running" in logged and token not in logged

    from monailabel.client import MONAILabelClient
    from monailabel.client.client import MONAILabelClientException

    client = MONAILabelClient(server.url)
    assert client.auth_enabled()
    with pytest.raises(MONAILabelClientException):
        client.info()
    client.update_auth(client.auth_token("anyone", token))
    assert client.auth_valid_token() and "lungs" in client.info()["models"]
