"""A bundle on disk: found by name or folder, and what its metadata say of it."""

from __future__ import annotations

import hashlib
import json

import pytest

from pipelines.bundle import Bundle
from tests.conftest import ROOT
from transforms import DataError


def test_a_bundle_is_found_by_its_name_and_by_its_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert Bundle.find("lungs").root.resolve() == Bundle.find(ROOT / "bundles" / "lungs").root == ROOT / "bundles/lungs"
    with pytest.raises(DataError, match="gone: no such bundle"):
        Bundle.find("gone")
    with pytest.raises(DataError, match=f"{tmp_path}: is not a bundle"):
        Bundle(tmp_path)


@pytest.mark.parametrize(
    ("name", "volumetric", "boxes", "classes"),
    [
        ("pneumonia", False, True, ["background", "pneumonia"]),
        ("lungs", False, False, ["background", "lungs"]),
        ("abdomen", True, False, ["background", "liver", "spleen", "left kidney", "right kidney", "bowel"]),
    ],
)
def test_a_bundle_says_what_it_is(name, volumetric, boxes, classes):
    bundle = Bundle(ROOT / "bundles" / name)
    assert (bundle.name, bundle.is_volumetric, bundle.finds_boxes, bundle.classes) == (name, volumetric, boxes, classes)
    assert bundle.gives_probabilities == (len(classes) == 2)
    assert len(bundle.segments) == len(classes) - 1


def test_overlays_and_overrides_win_in_their_order():
    bundle = Bundle(ROOT / "bundles" / "abdomen")
    assert bundle.read(["train"])["image_size"] == 512
    assert bundle.read(["train", "quick"])["image_size"] == 128
    parser = bundle.read(["train", "quick"], image_size=64, **{"network_def#network#out_channels": 2})
    assert parser["image_size"] == 64 and parser["network_def"]["network"]["out_channels"] == 2
    assert parser["bundle_root"] == str(ROOT / "bundles" / "abdomen")
    with pytest.raises(DataError, match="slow.json: no such overlay"):
        bundle.read(["train", "slow"])


def test_two_trainings_are_two_algorithms(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"a")
    algorithm = Bundle(ROOT / "bundles" / "lungs").algorithm(tmp_path / "a.pt")
    version = json.loads((ROOT / "bundles/lungs/configs/metadata.json").read_text())["version"]
    digest = hashlib.sha256(b"a").hexdigest()
    assert algorithm.weights == digest and algorithm.version == f"{version}, weights {digest[:12]}"
    assert algorithm.name == "Lungs on chest radiographs" and algorithm.type == "AUTOMATIC"
