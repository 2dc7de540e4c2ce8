"""Manifests from the folder of the RSNA Pneumonia Detection Challenge."""

from __future__ import annotations

import shutil

import pandas as pd
import pydicom
import pytest
from PIL import Image

from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.rsna_pneumonia import DETAILS, IMAGES, LABELS, _read_boxes, build_rsna_manifest
from pipelines.manifests.splits import SPLITS
from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import DataError


@pytest.fixture
def folder(cohort, tmp_path):
    """A copy of the cohort that a test may spoil."""
    return shutil.copytree(cohort, tmp_path / "rsna")


def entries(manifest):
    return [entry for split in SPLITS for entry in manifest[split]]


def test_manifest_of_the_challenge_s_folder(cohort):
    manifest = read_manifest(cohort / "manifest.json")
    labels = pd.read_csv(cohort / LABELS)
    found = entries(manifest)
    assert len(found) == 24 and len({entry["image"] for entry in found}) == 24
    for entry in found:
        rows = labels[labels["patientId"] == entry["image"].split("/")[-1].removesuffix(".dcm")]
        boxes = rows.loc[rows["Target"] == 1, ["x", "y", "width", "height"]].to_numpy().tolist()
        assert entry["boxes"] == boxes
        assert entry["patient_id"] not in entry["image"]
        assert entry["class"] == "Lung Opacity" if boxes else entry["class"] != "Lung Opacity"
    assert [len(manifest[split]) for split in SPLITS] == pytest.approx([24 * 0.7, 24 * 0.15, 24 * 0.15], abs=1.5)


def test_what_does_not_match_is_left_out_and_told(folder, caplog):
    caplog.set_level("INFO")
    files = sorted((folder / IMAGES).glob("*.dcm"))
    files[0].unlink()  # a label without a file
    (folder / IMAGES / "stranger.dcm").write_bytes(files[1].read_bytes())  # a file without a label
    files[2].write_bytes(files[2].read_bytes()[:-50])  # a truncated file
    files[3].write_text("<!DOCTYPE html>" + " " * 200)
    manifest = build_rsna_manifest(folder, folder / "m.json", checksums=True)
    names = {entry["image"].split("/")[-1] for entry in entries(manifest)}
    assert names == {file.name for file in files[1:2] + files[4:]}
    assert all(len(entry["sha256"]) == 64 for entry in entries(manifest))
    assert "used 21, left out 4" in caplog.text
    assert f"{files[0].name}: it is in {LABELS}, but its file is missing" in caplog.text
    assert f"stranger.dcm: it has no row in {LABELS}" in caplog.text
    assert "cut short" in caplog.text and "not a DICOM file" in caplog.text
    for word in ("patients", "positives", "boxes", "class: Normal", "sex: F", "age: 20 to 39", "view: PA"):
        assert word in caplog.text


def test_persons_keep_several_identities_of_one_person_together(folder):
    files = sorted((folder / IMAGES).glob("*.dcm"))
    persons = [number // 4 for number in range(len(files))]
    table = pd.DataFrame(
        {"patientId": [f.stem for f in files], "nih_image": [f"{n:08d}_{i:03d}.png" for i, n in enumerate(persons)]}
    )
    table.to_csv(folder / "nih.csv", index=False)
    manifest = build_rsna_manifest(folder, folder / "m.json", persons=folder / "nih.csv", fractions=(0.5, 0.25, 0.25))
    split_of = {}
    for split in SPLITS:
        for entry in manifest[split]:
            person = persons[[f.name for f in files].index(entry["image"].split("/")[-1])]
            split_of.setdefault(person, set()).add(split)
    assert len(split_of) == 6 and all(len(splits) == 1 for splits in split_of.values())
    assert len({entry["patient_id"] for entry in entries(manifest)}) == 6


@pytest.mark.parametrize("table", [LABELS, DETAILS])
def test_table_without_a_column_or_missing(folder, table):
    column = {"stage_2_train_labels.csv": "width"}.get(table, "class")
    content = pd.read_csv(folder / table)
    content.rename(columns={column: "other"}).to_csv(folder / table, index=False)
    with pytest.raises(DataError, match=rf"{table}: has no column {column}; it has .*other"):
        build_rsna_manifest(folder, folder / "m.json")
    (folder / table).unlink()
    with pytest.raises(DataError, match=rf"{table}: no such file"):
        build_rsna_manifest(folder, folder / "m.json")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("x", ""), ("x", "left"), ("width", 0), ("height", -3), ("width", "inf")),
        *(("Target", ""), ("Target", 0), ("Target", 2), ("Target", "yes")),
    ],
)
def test_row_that_is_neither_a_positive_with_a_box_nor_a_negative_without(folder, column, value):
    content = pd.read_csv(folder / LABELS, dtype=str)
    row = content.index[content["Target"] == "1"][0]
    content.loc[row, column] = str(value)
    content.to_csv(folder / LABELS, index=False)
    with pytest.raises(DataError, match=rf"{LABELS}: line {row + 2} must have Target 1 and a valid box"):
        build_rsna_manifest(folder, folder / "m.json")


def test_row_without_a_name_and_a_file_that_is_no_table(folder):
    (folder / LABELS).write_text("patientId,x,y,width,height,Target\n,1,1,2,2,1\n")
    with pytest.raises(DataError, match=rf"{LABELS}: line 2 has no patientId"):
        build_rsna_manifest(folder, folder / "m.json")
    (folder / LABELS).write_text("")
    with pytest.raises(DataError, match=rf"{LABELS}: cannot be read as a CSV table"):
        build_rsna_manifest(folder, folder / "m.json")


def test_image_whose_box_lies_outside_is_left_out(folder, caplog):
    caplog.set_level("INFO")
    content = pd.read_csv(folder / LABELS)
    row = content.index[content["Target"] == 1][0]
    content.loc[row, "x"] = 5000
    content.to_csv(folder / LABELS, index=False)
    manifest = build_rsna_manifest(folder, folder / "m.json")
    name = f"{content.loc[row, 'patientId']}.dcm"
    assert len(entries(manifest)) == 23 and not any(entry["image"].endswith(name) for entry in entries(manifest))
    assert f"{name}: box [5000.0" in caplog.text and "covers no pixel of the image of 96 columns and 96" in caplog.text


def test_files_without_spacing_are_used_only_where_pixels_will_do(folder):
    file = min((folder / IMAGES).glob("*.dcm"))
    dataset = pydicom.dcmread(file)
    del dataset.PixelSpacing
    dataset.save_as(file, **IN_FILE_FORMAT)
    assert len(entries(build_rsna_manifest(folder, folder / "m.json"))) == 23
    assert len(entries(build_rsna_manifest(folder, folder / "m.json", unknown_spacing="pixels"))) == 24


def test_a_picture_with_the_name_of_a_dicom_file_is_left_out(folder, caplog):
    file = min((folder / IMAGES).glob("*.dcm"))
    Image.new("L", (96, 96)).save(file, format="PNG")
    with caplog.at_level("INFO"):
        assert len(entries(build_rsna_manifest(folder, folder / "m.json", unknown_spacing="pixels"))) == 23
    assert f"{file.name}: it is not a DICOM file, but a picture" in caplog.text


def test_folder_without_images(folder):
    shutil.rmtree(folder / IMAGES)
    with pytest.raises(DataError, match="can be used.*its file is missing.*must hold stage_2_train_images/"):
        build_rsna_manifest(folder, folder / "m.json")


@pytest.mark.real
def test_the_challenge_s_own_table(real_data):
    boxes = _read_boxes(real_data / "rsna" / LABELS)
    assert len(boxes) == 26684
    assert sum(bool(b) for b in boxes.values()) == 6012 and sum(len(b) for b in boxes.values()) == 9555


@pytest.mark.real
def test_real_images_in_the_challenge_s_layout(real_data, tmp_path):
    manifest = build_rsna_manifest(real_data / "rsna_like", tmp_path / "m.json")
    labels = pd.read_csv(real_data / "rsna_like" / LABELS)
    assert len(entries(manifest)) == labels["patientId"].nunique() == 151
    assert sum(len(entry["boxes"]) for entry in entries(manifest)) == (labels["Target"] == 1).sum()
