"""What MONAI Label's application is asked for beside what its own does. Runs in MONAI Label's environment."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]


class Answers:
    """In the place of MONAI Label's application: gives back what it is asked."""

    def infer(self, request, datastore=None):
        return request


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.jpg", ".png"), ("a.JPEG", ".png"), ("a.dcm", ".nii.gz"), ("a.png", None), ("series", ".nii.gz")],
)
def test_masks_come_back_without_loss_and_where_they_can_be_read(tmp_path, name, extension):
    from pipelines.label.app import RadiologyApp

    class App(RadiologyApp, Answers):
        pass

    (tmp_path / name).mkdir() if name == "series" else (tmp_path / name).write_bytes(b"")
    request = {"image": str(tmp_path / name)}
    assert App().infer(request).get("result_extension") == extension
    assert App().infer({**request, "result_extension": ".nrrd"})["result_extension"] == ".nrrd"
