"""Manifests from folders of images and masks, in the layouts that they are published in."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from monai.transforms import Compose
from PIL import Image

from pipelines.__main__ import main
from pipelines.manifests.manifest import datalist
from pipelines.manifests.mask_folders import build_masks_manifest
from tests.running import bundle_of
from transforms import DataError, MaskReader


def picture(path, value=200, shape=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.broadcast_to(value, shape).astype(np.uint8)).save(path)


def build(folder, **settings):
    build_masks_manifest(folder, folder / "m.json", task="lungs", name="test", **settings)
    manifest = json.loads((folder / "m.json").read_text())
    return {entry["image"]: entry for split in ("training", "validation", "test") for entry in manifest[split]}


def test_shenzhen_as_published_and_its_copies(tmp_path):
    # names with and without _mask beside each other, folders at any depth, as in the copies on Kaggle
    root = tmp_path / "data" / "Lung Segmentation"
    for number in range(6):
        picture(root / "CXR_png" / f"CHNCXR_{number:04d}_0.png")
        picture(root / "masks" / f"CHNCXR_{number:04d}_0{'_mask' if number % 2 else ''}.png")
    picture(root / "test" / "CHNCXR_9999_0.png")
    found = build(tmp_path)
    assert len(found) == 6
    entry = found["data/Lung Segmentation/CXR_png/CHNCXR_0003_0.png"]
    assert entry["label"] == "data/Lung Segmentation/masks/CHNCXR_0003_0_mask.png"
    assert "CHNCXR" not in entry["patient_id"]


def test_image_and_mask_folders_of_the_other_copy(tmp_path):
    for number in range(4):
        picture(tmp_path / "Chest-X-Ray" / "image" / f"{1000 + number}.png")
        picture(tmp_path / "Chest-X-Ray" / "mask" / f"{1000 + number}.png")
    assert build(tmp_path)["Chest-X-Ray/image/1002.png"]["label"] == "Chest-X-Ray/mask/1002.png"


def test_montgomery_s_two_masks_an_image(tmp_path):
    for number in range(4):
        picture(tmp_path / "CXR_png" / f"MCUCXR_{number}.png")
        for side in ("leftMask", "rightMask"):
            picture(tmp_path / "ManualMask" / side / f"MCUCXR_{number}.png")
    expected = ["ManualMask/leftMask/MCUCXR_1.png", "ManualMask/rightMask/MCUCXR_1.png"]
    assert build(tmp_path)["CXR_png/MCUCXR_1.png"]["label"] == expected
    listed = datalist(tmp_path / "m.json", tmp_path, "training", task="lungs")
    with pytest.raises(DataError, match="m.json: its task is lungs, this bundle's is opacity"):
        datalist(tmp_path / "m.json", tmp_path, "training", task="opacity")
    assert listed[0]["label"][0].startswith(str(tmp_path)) and len(listed[0]["label"]) == 2
    (tmp_path / "ManualMask" / "leftMask" / "MCUCXR_2.png").unlink()
    assert "CXR_png/MCUCXR_2.png" not in build(tmp_path)  # half of the lungs is no truth


def test_what_is_left_out_is_said_with_the_reason(tmp_path, caplog):
    for number in range(5):
        picture(tmp_path / "images" / f"{number}.png")
        picture(tmp_path / "masks" / f"{number}.png")
    picture(tmp_path / "images" / "alone.png")
    picture(tmp_path / "masks" / "orphan.png")
    picture(tmp_path / "masks" / "1.png", shape=(9, 6))
    picture(tmp_path / "masks" / "2.png", value=2)
    picture(tmp_path / "more" / "images" / "3.png")
    with caplog.at_level("INFO"):
        assert set(build(tmp_path)) == {"images/0.png", "images/4.png"}
    for text in (
        "used 2, left out 6",
        "1  images/alone.png: it has no mask",
        "1  masks/orphan.png: it is a mask without an image",
        "1  images/1.png: the image is of (6, 8) pixels, its mask of (6, 9)",
        "1  images/2.png: masks/2.png: its greatest value is 2 of 255",
        "2  images/3.png, more/images/3.png: 2 images have its name",
    ):
        assert text in caplog.text


def test_images_of_one_patient_stay_together(tmp_path):
    for number in range(20):
        picture(tmp_path / "images" / f"{number}.png")
        picture(tmp_path / "masks" / f"{number}.png")
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\n" + "\n".join(f"{number},p{number // 4}" for number in range(12)))
    for seed in range(5):
        found = build(tmp_path, patients=table, seed=seed, fractions=(0.5, 0.25, 0.25))
        people = [found[f"images/{number}.png"]["patient_id"] for number in range(20)]
        assert [len(set(people[start : start + 4])) for start in (0, 4, 8)] == [1, 1, 1]
        assert len(set(people)) == 3 + 8
    table.write_text("image,patient\n2.png,p\n")
    with pytest.raises(DataError, match="1 of its 1 images are not in the folder, the first: 2.png"):
        build(tmp_path, patients=table)


def test_masks_of_0_and_1_are_read_as_label_maps(tmp_path):
    for number in range(3):
        picture(tmp_path / "images" / f"{number}.png")
        picture(tmp_path / "masks" / f"{number}.png", value=np.eye(8, 6))
    assert len(build(tmp_path)) == 3
    assert MaskReader().get_data([tmp_path / "masks" / "0.png"])[0].sum() == 6


def test_a_fifth_bundle_needs_no_other_builder(tmp_path):
    for number in range(4):
        picture(tmp_path / "images" / f"{number}.png")
        picture(tmp_path / "masks" / f"{number}.png")
    command = ["manifest", "masks", str(tmp_path), "--task", "effusion_2", "--name", "n", "--out"]
    assert main([*command, str(tmp_path / "m.json"), "--fractions", "0.5", "0.25", "0.25"]) == 0
    assert len(datalist(tmp_path / "m.json", tmp_path, "training", task="effusion_2")) == 2
    with pytest.raises(DataError, match="its task is effusion_2, this bundle's is lungs"):
        datalist(tmp_path / "m.json", tmp_path, "training", task="lungs")


def test_nifti_and_turned_pictures(tmp_path):
    """A picture's size is that in which it is shown; a NIfTI file of one slice has one too."""
    turned = Image.new("L", (6, 8))
    turned.getexif()[0x0112] = 6  # a quarter turn
    (tmp_path / "images").mkdir()
    turned.save(tmp_path / "images" / "a.jpg", exif=turned.getexif())
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 6, 1), np.int16), affine), tmp_path / "images" / "b.nii.gz")
    for name in "ab":
        picture(tmp_path / "masks" / f"{name}.png", shape=(6, 8))
    assert set(build(tmp_path)) == {"images/a.jpg", "images/b.nii.gz"}


def test_folder_without_pairs(tmp_path):
    picture(tmp_path / "images" / "1.png")
    with pytest.raises(DataError, match=r"can be used \(1 left out, the first: images/1.png: it has no mask\)"):
        build(tmp_path)


def test_masks_that_count_in_what_lies_behind_the_heart_are_marked(tmp_path):
    for number in range(4):
        for source in ("one", "children"):
            picture(tmp_path / source / "images" / f"{source}_{number}.png")
            picture(tmp_path / source / "masks" / f"{source}_{number}.png")
    found = build(tmp_path, behind_heart=["children"])
    assert len(found) == 8
    assert all(entry.get("behind_heart", False) == image.startswith("children") for image, entry in found.items())
    listed = datalist(tmp_path / "m.json", tmp_path, "training")
    assert all(entry.get("behind_heart", False) == ("children" in entry["image"]) for entry in listed)
    with pytest.raises(DataError, match="adults: no such folder. --behind_heart takes folders below"):
        build(tmp_path, behind_heart=["adults"])


def test_images_of_healthy_patients_need_no_masks(tmp_path, caplog):
    for number in range(10):
        picture(tmp_path / "ill" / "images" / f"{number}.png")
        picture(tmp_path / "ill" / "masks" / f"{number}.png")
        picture(tmp_path / "healthy" / "images" / f"h{number}.png")
    picture(tmp_path / "healthy" / "masks" / "h0.png")
    picture(tmp_path / "ill" / "images" / "alone.png")
    fractions = (0.5, 0.2, 0.3)
    with caplog.at_level("INFO"):
        found = build(tmp_path, empty=["healthy"], fractions=fractions)
    assert len(found) == 19 and found["healthy/images/h3.png"]["boxes"] == []
    assert "label" not in found["healthy/images/h3.png"] and found["ill/images/3.png"]["label"] == "ill/masks/3.png"
    assert "1  healthy/images/h0.png: it has a mask, and is said to be empty" in caplog.text
    assert "1  ill/images/alone.png: it has no mask" in caplog.text
    (row,) = (line.split() for line in caplog.text.splitlines() if line.startswith("empty"))
    assert row[-1] == "9" and "boxes" not in caplog.text
    for split, share in zip(("training", "validation", "test"), fractions, strict=True):  # each gets its share of both
        ill = [entry for entry in datalist(tmp_path / "m.json", tmp_path, split, task="lungs") if "label" in entry]
        assert len(ill) == 10 * share
    with pytest.raises(DataError, match="none: no such folder. --empty takes folders below"):
        build(tmp_path, empty=["none"])


def test_an_image_of_a_healthy_patient_has_an_empty_mask_of_its_grid(tmp_path):
    picture(tmp_path / "ill" / "images" / "0.png", value=np.arange(48).reshape(8, 6))
    picture(tmp_path / "ill" / "masks" / "0.png")
    picture(tmp_path / "healthy" / "images" / "1.png", value=np.arange(35).reshape(7, 5), shape=(7, 5))
    command = [
        "manifest",
        "masks",
        str(tmp_path),
        "--task",
        "opacity",
        "--name",
        "n",
        "--out",
        str(tmp_path / "m.json"),
    ]
    assert main([*command, "--fractions", "1", "0", "0", "--empty", "healthy"]) == 0
    load = Compose(bundle_of("opacity").read(["train"]).get_parsed_content("loading"))
    items = [load(entry) for entry in datalist(tmp_path / "m.json", tmp_path, "training", task="opacity")]
    assert {tuple(item["label"].shape): int(item["label"].sum()) for item in items} == {(1, 6, 8): 48, (1, 5, 7): 0}
