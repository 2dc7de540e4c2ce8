"""The benchmark of CT: its table, and that both of its ways give the same labels."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pydicom
import pytest
import torch

from pipelines.bundle import Bundle
from pipelines.timing import volumes
from pipelines.timing.prediction import prediction
from tests.running import bundle_of, small


@pytest.fixture
def tiny(monkeypatch):
    """The bundle ``abdomen`` with a small network, for small phantoms."""
    settings = {**small("abdomen"), "image_size": 64}
    read = Bundle.read
    monkeypatch.setattr(Bundle, "read", lambda bundle, names, **more: read(bundle, names, **settings | more))
    for name, value in {"SERIES": 2, "SLICES": 6, "SIDE": 64, "COARSE": 1}.items():
        monkeypatch.setattr(volumes, name, value)
    return bundle_of("abdomen")


def test_table_of_both_ways_with_the_network_s_share_and_memory(tiny, capsys):
    prediction(tiny)
    first, second, head, *rows, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{torch.get_num_threads()} threads of")
    assert second.startswith("2 series of 6 slices of 64²") and head.startswith(" ")
    found = [re.fullmatch(r"(.+?) +([\d.]+) +(\d+)% +(-?[\d.]+) +(\d+)", row).groups() for row in rows]
    assert [name for name, *_ in found] == ["plain loop", "predict"]
    assert re.fullmatch(r"[\d.]+ times as fast", last)


def test_the_labels_are_those_chosen_from_probabilities_in_the_series_own_grid(tiny, tmp_path):
    torch.manual_seed(3)
    parser, series = tiny.read(["inference"]), tmp_path / "in" / "a"
    volumes.draw_series(series, 0)
    network = parser.get_parsed_content("network_def").eval()
    slices = parser.get_parsed_content("preprocessing")({"image": str(series)})["image"].movedim(-1, 0)
    with torch.no_grad():  # so that each class is found somewhere
        network.segmentation_head[0].bias -= network(slices.as_tensor().expand(-1, 3, -1, -1)).mean((0, 2, 3))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    volumes.PlainLoop(tiny, tmp_path / "model.pt").run([series], tmp_path / "plain")
    settings = {"weights": str(tmp_path / "model.pt"), "precision": "float32"}  # as the plain loop
    assert volumes.Prediction(tiny, tmp_path / "in", tmp_path / "ours", **settings).run() == 0
    plain, ours = (nibabel.load(*(tmp_path / way).rglob("*.nii.gz")) for way in ("plain", "ours"))
    np.testing.assert_allclose(plain.affine, ours.affine, atol=1e-3)
    plain, ours = (np.asarray(image.dataobj).squeeze() for image in (plain, ours))
    assert plain.shape == ours.shape == (64, 64, 6) and ours.dtype == np.uint8
    labels = np.union1d(plain, ours)
    assert len(labels) > 2
    for label in labels:
        both = ((plain == label) & (ours == label)).sum()
        assert 2 * both >= 0.999 * ((plain == label).sum() + (ours == label).sum())


def test_series_are_uncompressed_and_of_the_size_that_is_said(tiny, tmp_path):
    volumes.draw_series(tmp_path / "a", 0)
    slices = [pydicom.dcmread(path) for path in (tmp_path / "a").iterdir()]
    assert len(slices) == 6 and {piece.pixel_array.shape for piece in slices} == {(64, 64)}
    assert {piece.file_meta.TransferSyntaxUID for piece in slices} == {pydicom.uid.ExplicitVRLittleEndian}
    assert len({piece.ImagePositionPatient[2] for piece in slices}) == 6
