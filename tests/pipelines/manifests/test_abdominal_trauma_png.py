"""Manifests of PNG slices of the abdominal trauma challenge's CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.manifests.abdominal_trauma_png import build_png_slices_manifest
from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.splits import SPLITS
from transforms import DataError


def entries(manifest):
    return [entry for split in SPLITS for entry in manifest[split]]


def save_png(path, values, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(path)


@pytest.fixture
def png_folder(tmp_path):
    """Slices of 10 patients, 3 each, of the two layouts."""
    folder = tmp_path / "png"
    for patient in range(10):
        for index in range(3):
            name = f"{patient}_7{patient}_{index:04d}" if patient < 5 else f"{patient}/7{patient}/{index:04d}"
            save_png(folder / "images" / "pt1" / f"{name}.png", np.full((4, 6), 100))
            save_png(folder / "masks" / f"{name}.png", np.full((4, 6), index * 2))
    return folder


def test_manifest_of_png_slices(png_folder, tmp_path):
    assert main(["manifest", "trauma_png", str(png_folder), "--out", str(tmp_path / "m.json")]) == 0
    manifest = read_manifest(tmp_path / "m.json")
    assert manifest["name"] == "abdominal_trauma_png" and manifest["task"] == "abdomen"
    found = entries(manifest)
    assert len(found) == 30
    for entry in found:
        assert entry["image"].replace("images/pt1/", "") == entry["label"].replace("masks/", "")
    assert len({entry["patient_id"] for entry in found}) == 10
    assert [len(manifest[split]) for split in SPLITS] == [21, 3, 6]
    items = datalist(tmp_path / "m.json", png_folder, "training")
    assert all(Path(item["image"]).is_file() and Path(item["label"]).is_file() for item in items)


def test_png_slices_that_cannot_be_used_are_left_out_and_told(png_folder, caplog):
    caplog.set_level("INFO")
    images, masks = png_folder / "images" / "pt1", png_folder / "masks"
    (masks / "0_70_0000.png").unlink()
    (images / "0_70_0001.png").unlink()
    save_png(images / "odd.name_1.png", np.zeros((4, 6)))
    save_png(images / "1_71_0000.png", np.zeros((4, 6)), "RGB")
    save_png(masks / "1_71_0001.png", np.zeros((6, 4)))
    save_png(masks / "1_71_0002.png", np.full((4, 6), 255))
    (masks / "2_72_0000.png").write_bytes((masks / "2_72_0000.png").read_bytes()[:40])
    save_png(png_folder / "images" / "pt2" / "3_73_0000.png", np.zeros((4, 6)))
    manifest = build_png_slices_manifest(png_folder, png_folder / "m.json")
    assert len(entries(manifest)) == 24
    for line in (
        "used 24, left out 8",
        "images/pt1/0_70_0000.png: it has no mask",
        "masks/0_70_0001.png: it has no image",
        "images/pt1/odd.name_1.png: it is not named PATIENT_SERIES_INDEX.png",
        "images/pt1/1_71_0000.png: the image is of mode RGB",
        "images/pt1/1_71_0001.png: the image is of (6, 4) pixels, its mask of (4, 6)",
        "images/pt1/1_71_0002.png: its mask has the value 255, above 5",
        "images/pt1/2_72_0000.png: masks/2_72_0000.png: cannot be read as PNG or JPEG",
        "images/pt2/3_73_0000.png: it has the name of images/pt1/3_73_0000.png",
    ):
        assert line in caplog.text
    with pytest.raises(
        DataError,
        match="no image can be used. The folder must hold images/ and masks/, with PATIENT_",
    ):
        build_png_slices_manifest(masks, png_folder / "m.json")
