"""Manifests from the folder of the abdominal trauma challenge."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipelines.__main__ import main
from pipelines.manifests.abdominal_trauma import build_abdominal_trauma_manifest
from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.splits import SPLITS
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
    assert "used 3, left out 5" in caplog.text
    for line in (
        f"segmentations/{labels[0].name}: its series is in no place below train_images",
        f"segmentations/{labels[5].name}: its series is in 2 places below train_images",
        f"{names[2]}: slices are missing (1 in all)",
        f"{names[3]}: segmentations/{labels[3].name}: is not on the grid of {names[3]}",
        f"{names[4]}: segmentations/{labels[4].name}: cannot be read as NIfTI",
        "series without a segmentation, which are not used: 1",
    ):
        assert line in caplog.text
    assert str(folder) not in caplog.text.split("used 3")[1]


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
    with pytest.raises(DataError, match="no image can be used. The folder must hold train_images/PATIENT"):
        build_abdominal_trauma_manifest(tmp_path, tmp_path / "m.json")
    shutil.rmtree(folder / "train_images")
    with pytest.raises(DataError, match=r"can be used .*its series is in no place below train_images\)"):
        build_abdominal_trauma_manifest(folder, tmp_path / "m.json")
    with pytest.raises(DataError, match="add up to 1"):
        build_abdominal_trauma_manifest(folder, tmp_path / "m.json", fractions=(1, 1, 1))
