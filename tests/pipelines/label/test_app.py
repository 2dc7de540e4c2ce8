"""What MONAI Label's application is asked for beside what its own does. Runs in MONAI Label's environment."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec

import pytest
import torch

from networks import WeightsError
from transforms import DataError

pytestmark = [
    pytest.mark.label,
    pytest.mark.skipif(find_spec("monailabel") is None, reason="needs the environment of MONAI Label (extra 'label')"),
]


class Answers:
    """In the place of MONAI Label's application: gives back what it is asked."""

    def infer(self, request, datastore=None):
        return request

    def train(self, request):
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


@pytest.mark.parametrize(
    ("labels", "split", "refused"), [(1, None, True), (2, None, True), (3, None, False), (8, 0, True), (8, 1, True)]
)
def test_a_training_without_a_validation_is_refused(labels, split, refused):
    """3 labels and a fifth of them are the fewest of which MONAI Label keeps one to validate on."""
    from pipelines.label.app import RadiologyApp

    class Store:
        def datalist(self):
            return [{"image": str(number), "label": str(number)} for number in range(labels)]

    class App(RadiologyApp, Answers):
        def datastore(self):
            return Store()

    request = {"model": "lungs"} | ({} if split is None else {"val_split": split})
    if not refused:
        assert App().train(request) == request
        return
    with pytest.raises(DataError, match=f"lungs: of {labels} labelled image.* nothing could be validated"):
        App().train(request)
    assert App().train({**request, "val_split": -1})  # the bundle's own


def test_an_image_that_the_store_does_not_have_is_told(tmp_path):
    from pipelines.label.app import RadiologyApp

    class Store:
        def get_image_uri(self, image):
            return ""  # as MONAI Label's own for folders

    class App(RadiologyApp, Answers):
        def datastore(self):
            return Store()

    with pytest.raises(DataError, match="nobody: no image of the store has this ID"):
        App().infer({"image": "nobody"})


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
