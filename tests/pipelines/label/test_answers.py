"""What a client is told where its request fails. Runs in MONAI Label's environment."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from networks import WeightsError
from transforms import DataError

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]


def wrapped(error):
    """As MONAI wraps what its transforms raise."""
    wrapping = RuntimeError("applying transform")
    wrapping.__cause__ = error
    return wrapping


def failures():
    from monailabel.interfaces.exception import ImageNotFoundException, MONAILabelError, MONAILabelException

    from pipelines.label.answers import UnknownImageError

    return {
        "data": (DataError("a.dcm: is damaged"), 400, "a.dcm: is damaged"),
        "weights": (WeightsError("model.pt: is damaged"), 400, "model.pt: is damaged"),
        "wrapped": (wrapped(DataError("a.dcm: is a CT")), 400, "a.dcm: is a CT"),
        "unknown": (UnknownImageError("nobody"), 404, "nobody: no image of the store has this ID"),
        "missing": (ImageNotFoundException("Image nobody not found"), 404, "Image nobody not found"),
        "model": (MONAILabelException(MONAILabelError.INVALID_INPUT, "no model x"), 500, "no model x"),
        "disk": (OSError(28, "No space left on device"), 500, "No space left on device"),
    }


@pytest.fixture
def client():
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from pipelines.label.answers import tell_errors

    application = FastAPI()
    tell_errors(application)

    @application.get("/{name}")
    def fail(name: str):
        raise failures()[name][0] if name != "bug" else RuntimeError("a secret of the programmer")

    return TestClient(application, raise_server_exceptions=False)


@pytest.mark.parametrize("name", ["data", "weights", "wrapped", "unknown", "missing", "model", "disk"])
def test_errors_for_a_user_come_with_their_message(client, name):
    _, status, message = failures()[name]
    answer = client.get(f"/{name}")
    assert answer.status_code == status and message in answer.json()["detail"]


def test_a_bug_stays_a_bare_500(client):
    answer = client.get("/bug")
    assert answer.status_code == 500 and "secret" not in answer.text
