"""What MONAI Label's application is asked for beside what its own does. Runs in MONAI Label's environment."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec

import pytest
import torch

from networks import WeightsError

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]


class Answers:
    """In the place of MONAI Label's application: gives back what it is asked."""

    def infer(self, request, datastore=None):
        return request

    scoring = infer


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


def test_weights_that_were_changed_are_not_used(tmp_path):
    """MONAI Label loads weights without a look at their hash; a client may name another file of the bundle."""
    from pipelines.label.app import RadiologyApp

    class App(RadiologyApp, Answers):
        model_dir = str(tmp_path)

    path = tmp_path / "lungs" / "models" / "model.pt"
    path.parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(3)}, path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    (tmp_path / "a.png").write_bytes(b"")
    request = {"model": "lungs", "image": str(tmp_path / "a.png")}
    assert App().infer(request) == request and App().scoring({"method": "lungs"})
    torch.save({"weight": torch.ones(3)}, path)
    for ask in (lambda: App().infer(request), lambda: App().scoring({"method": "lungs"})):
        with pytest.raises(WeightsError, match="is damaged, or not the file that model.json describes"):
            ask()
    with pytest.raises(WeightsError, match="is damaged"):
        App().infer({**request, "model_filename": ["model.pt"]})
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    assert App().infer(request) == request
