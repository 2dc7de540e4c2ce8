"""How a DICOMweb service is asked: against one that fails as it is told. The rest is in test_predict, with Orthanc."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pydicom
import pytest

from pipelines.archive import service
from pipelines.archive.service import Service, ServiceError
from transforms import DataError

pytest.importorskip("dicomweb_client")
ONE = [{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "0020000E": {"vr": "UI", "Value": ["1.3"]}}]


@pytest.fixture
def failing(monkeypatch):
    """Starts a service that answers as told, one (status, JSON) a request. Gives what it was asked too."""
    monkeypatch.setattr(service, "WAITS", (0.0, 0.0))
    running = []

    def start(*answers):
        left, asked = list(answers), []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append(self.command)
                status, content = left.pop(0)
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return Service(f"http://127.0.0.1:{server.server_port}/web", "OF_TEST"), asked

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_what_passes_is_tried_again_and_no_more_than_told(failing):
    busy = (503, {})
    found, asked = failing(busy, busy, (200, ONE), (200, []))
    assert found.search({"PatientID": "1"}) == [(("1.2", "1.3"), "")] and len(asked) == 4
    found, asked = failing(busy, busy, busy)
    with pytest.raises(DataError, match="refused the request .HTTP 503."):
        found.search({"PatientID": "1"})
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "message"), [(401, "let this program in"), (403, "OF_TEST_TOKEN"), (400, "HTTP 400")]
)
def test_what_stays_is_not_tried_again(failing, status, message):
    found, asked = failing((status, {}))
    with pytest.raises(DataError, match=message) as refused:
        found.search({"PatientID": "4711"})
    assert len(asked) == 1 and "4711" not in str(refused.value)
    assert isinstance(refused.value, ServiceError) == (status != 400)


def test_what_is_no_service_or_names_no_uid_is_refused(failing):
    with pytest.raises(ServiceError, match="not as DICOMweb does"):
        failing((200, b"<html>"))[0].search({"PatientID": "1"})
    path = [{**ONE[0], "0020000E": {"vr": "UI", "Value": ["../../x"]}}]
    with pytest.raises(DataError, match="no UID"):
        failing((200, path), (200, []))[0].search({"PatientID": "1"})


def test_what_a_store_refuses_is_told(failing, write_dicom):
    file = write_dicom(np.zeros((4, 6), np.uint8), StudyInstanceUID="1.2", SeriesInstanceUID="1.3")
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}
    found, asked = failing((200, []), (202, failed))
    with pytest.raises(DataError, match="refused image.dcm: failure reason 42752"):
        found.store(file)
    assert asked == ["GET", "POST"]
    uid = str(pydicom.dcmread(file).SOPInstanceUID)
    found, asked = failing((200, [{"00080018": {"vr": "UI", "Value": [uid]}}]))
    found.store(file)
    assert asked == ["GET"]  # it is there
