"""Manifests of abdominal CT: from the challenge's folder and from its PNG slices."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.abdominal_trauma import build_abdominal_trauma_manifest, build_png_slices_manifest
from pipelines.manifest import SPLITS, datalist, read_manifest
from transforms import CTReader, DataError


@pytest.fixture
def folder(ct_cohort, tmp_path):
    """A copy of the cohort that a test may spoil."""
    return shutil.copytree(ct_cohort, tmp_path / "trauma")


def entries(manifest):
    return [entry for split in SPLITS for entry in manifest[split]]


def patients(manifest):
    """Of each split, from the folders' names."""
    return [{entry["image"].split("/")[1] for entry in manifest[split]} for split in SPLITS]


def test_manifest_of_the_challenge_s_folder(ct_cohort, tmp_path):
    assert main(["manifest", "trauma", str(ct_cohort), "--out", str(tmp_path / "m.json"), "--seed", "4"]) == 0
    manifest = read_manifest(tmp_path / "m.json")
    assert (manifest["name"], manifest["task"], manifest["seed"]) == ("abdominal_trauma", "abdomen", 4)
    found = entries(manifest)
    assert len(found) == 9
    for entry in found:
        patient, series = entry["image"].split("/")[1:]
        assert entry["image"] == f"train_images/{patient}/{series}"
        assert entry["label"] == f"segmentations/{series}.nii.gz"
        assert patient not in entry["patient_id"]
    splits = patients(manifest)
    assert [len(split) for split in splits] == [6, 1, 1] and len(set.union(*splits)) == 8


def test_datalist_has_whole_paths_of_folders(ct_cohort):
    items = datalist(ct_cohort / "manifest.json", ct_cohort, "training", CTReader())
    assert all(Path(item["image"]).is_dir() and Path(item["label"]).is_file() for item in items)


def test_what_cannot_be_used_is_left_out_and_told(folder, caplog):
    caplog.set_level("INFO")
    series = sorted((folder / "train_images").glob("*/*"))
    names = [path.relative_to(folder).as_posix() for path in series]
    labels = [folder / "segmentations" / f"{path.name}.nii.gz" for path in series]
    shutil.rmtree(series[0])  # a segmentation without a series
    labels[1].unlink()  # a series without a segmentation
    slices = CTReader().open(series[2]).files
    slices[5].unlink()  # a missing slice
    mask = nibabel.load(labels[3])
    nibabel.save(mask.slicer[:, :, 1:], labels[3])  # another grid
    labels[4].write_bytes(labels[4].read_bytes()[:100])
    shutil.copytree(series[5], folder / "train_images" / "stranger" / series[5].name)
    manifest = build_abdominal_trauma_manifest(folder, folder / "m.json")
    assert {entry["image"] for entry in entries(manifest)} == set(names[6:])
    assert "used 3 of 8 segmentations; left out 5" in caplog.text
    for line in (
        f"segmentations/{labels[0].name}: its series is in no place below train_images",
        f"segmentations/{labels[5].name}: its series is in 2 places below train_images",
        f"{names[2]}: slices are missing (1 in all)",
        f"{names[3]}: segmentations/{labels[3].name}: is not on the grid of {names[3]}",
        f"{names[4]}: segmentations/{labels[4].name}: cannot be read as NIfTI",
        "series without a segmentation, which are not used: 1",
    ):
        assert line in caplog.text
    assert str(folder) not in caplog.text.split("used 3 of 8")[1]


def test_series_may_be_nifti_and_segmentations_flipped(folder):
    """Both as other programs write them: any direction and order of axes is the headers' to say."""
    for path in sorted((folder / "train_images").glob("*/*")):
        volume = CTReader().open(path)
        array = np.zeros(volume.shape, np.int16)
        nibabel.save(nibabel.Nifti1Image(array, volume.affine), path.with_name(f"{path.name}.nii.gz"))
        shutil.rmtree(path)
        label = folder / "segmentations" / f"{path.name}.nii.gz"
        mask = nibabel.load(label)
        nibabel.save(nibabel.as_closest_canonical(mask), folder / "segmentations" / f"{path.name}.nii")
        label.unlink()
    found = entries(build_abdominal_trauma_manifest(folder, folder / "m.json"))
    assert len(found) == 9
    assert all(e["image"].endswith(".nii.gz") and e["label"].endswith(".nii") for e in found)


def test_folder_that_is_not_the_challenge_s(tmp_path, folder):
    with pytest.raises(DataError, match=r"segmentations: holds no NIfTI file.*holds train_images/"):
        build_abdominal_trauma_manifest(tmp_path, tmp_path / "m.json")
    shutil.rmtree(folder / "train_images")
    with pytest.raises(DataError, match="no series can be used"):
        build_abdominal_trauma_manifest(folder, tmp_path / "m.json")
    with pytest.raises(DataError, match="add up to 1"):
        build_abdominal_trauma_manifest(folder, tmp_path / "m.json", fractions=(1, 1, 1))


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
        "used 24 of 29 images; left out 8",
        "images/pt1/0_70_0000.png: it has no mask",
        "masks/0_70_0001.png: it has no image",
        "images/pt1/odd.name_1.png: it is not named PATIENT_SERIES_INDEX.png",
        "images/pt1/1_71_0000.png: the image is of mode RGB",
        "images/pt1/1_71_0001.png: the image is of (6, 4) pixels, its mask of (4, 6)",
        "images/pt1/1_71_0002.png: its mask has the value 255, above 5",
        "images/pt1/2_72_0000.png: it or its mask cannot be read",
        "images/pt2/3_73_0000.png: it has the name of images/pt1/3_73_0000.png",
    ):
        assert line in caplog.text
    with pytest.raises(DataError, match="no image with a mask: 0 slices below images/"):
        build_png_slices_manifest(masks, png_folder / "m.json")
