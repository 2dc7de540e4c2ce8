"""Manifests: reading, checking, splitting; and building one from the challenge's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest

from pipelines.manifest import SPLITS, datalist, pseudonym, read_manifest, split_patients
from pipelines.phantoms import IN_FILE_FORMAT
from pipelines.rsna_pneumonia import DETAILS, IMAGES, LABELS, build_rsna_manifest
from transforms import DataError


@pytest.fixture
def folder(cohort, tmp_path):
    """A copy of the cohort that a test may spoil."""
    return shutil.copytree(cohort, tmp_path / "rsna")


def entries(manifest):
    return [entry for split in SPLITS for entry in manifest[split]]


def test_split_keeps_patients_together_and_strata_alike():
    patients = [f"p{number // 2}" for number in range(400)]  # two images each
    strata = ["rare" if number // 2 % 10 == 0 else "common" for number in range(400)]
    split_of = split_patients(patients, strata, (0.7, 0.15, 0.15), seed=1)
    table = pd.DataFrame({"patient": sorted(split_of), "split": [split_of[p] for p in sorted(split_of)]})
    assert table["split"].value_counts().to_dict() == {"training": 140, "validation": 30, "test": 30}
    rare = table[table["patient"].isin([f"p{n}" for n in range(0, 200, 10)])]
    assert rare["split"].value_counts().to_dict() == {"training": 14, "validation": 3, "test": 3}
    assert split_of == split_patients(patients[::-1], strata[::-1], (0.7, 0.15, 0.15), seed=1)
    assert split_of != split_patients(patients, strata, (0.7, 0.15, 0.15), seed=2)
    with pytest.raises(ValueError, match="add up to 1"):
        split_patients(patients, strata, (0.7, 0.7, 0.1), seed=1)


def test_pseudonym_hides_and_separates():
    assert "4711" not in pseudonym("4711", "salt") and pseudonym("4711", "salt") != pseudonym("4711", "pepper")
    assert pseudonym("a", "salt") != pseudonym("b", "salt")


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


def test_datalist_has_whole_paths(cohort):
    items = datalist(cohort / "manifest.json", cohort, "training")
    assert all(Path(item["image"]).parent == cohort / IMAGES for item in items)
    assert all(set(item) == {"image", "boxes"} for item in items)


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
    assert "used 21 of 24 files; left out 4" in caplog.text
    assert f"{files[0].stem}: it is in {LABELS}, but its file is missing" in caplog.text
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
    [("x", ""), ("x", "left"), ("width", 0), ("height", -3), ("width", "inf")]
    + [("Target", ""), ("Target", 0), ("Target", 2), ("Target", "yes")],
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
    assert f"{name}: its box [5000.0" in caplog.text and "lies outside its (96, 96) pixels" in caplog.text


def test_wrong_settings_are_told_before_files_are_read(folder):
    shutil.rmtree(folder / IMAGES)  # so that anything later would fail otherwise
    with pytest.raises(DataError, match="must be three, none negative, that add up to 1"):
        build_rsna_manifest(folder, folder / "m.json", fractions=(0.8, 0.1, 0.2))
    with pytest.raises(DataError, match="cannot be written to"):
        build_rsna_manifest(folder, folder / LABELS / "m.json")


def test_files_without_spacing_are_used_only_where_pixels_will_do(folder):
    file = min((folder / IMAGES).glob("*.dcm"))
    dataset = pydicom.dcmread(file)
    del dataset.PixelSpacing
    dataset.save_as(file, **IN_FILE_FORMAT)
    assert len(entries(build_rsna_manifest(folder, folder / "m.json"))) == 23
    assert len(entries(build_rsna_manifest(folder, folder / "m.json", unknown_spacing="pixels"))) == 24


def test_folder_without_images(folder):
    with pytest.raises(DataError, match="holds no .dcm file"):
        shutil.rmtree(folder / IMAGES)
        build_rsna_manifest(folder, folder / "m.json")


def spoil(cohort, tmp_path, change):
    manifest = json.loads((cohort / "manifest.json").read_text())
    change(manifest)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda m: m.update(manifest_version=2),
            r"spoilt\.json: is not a manifest of version 1: at manifest\.manifest_version",
        ),
        (lambda m: m.pop("licence"), "'licence' is a required property"),
        (lambda m: m["training"][0].pop("boxes"), r"at manifest\.training\[0\]"),
        (lambda m: m["test"][0].update(boxes=[[1, 2, 3]]), r"at manifest\.test\[0\]\.boxes\[0\]"),
        (lambda m: m["test"].append(m["training"][0]), r"the patient of test\[\d\] is in training too"),
    ],
)
def test_manifest_of_another_schema(cohort, tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        read_manifest(spoil(cohort, tmp_path, change))


def test_manifest_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(DataError, match="no such manifest.*python -m pipelines manifest KIND"):
        read_manifest(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("patientId,x,y")
    with pytest.raises(DataError, match="is not JSON"):
        read_manifest(tmp_path / "x.json")


def test_missing_image_and_empty_split(cohort, tmp_path):
    with pytest.raises(DataError, match=r"gone\.dcm: no such file \(1 of the training files.*--dataset_dir"):
        datalist(spoil(cohort, tmp_path, lambda m: m["training"][0].update(image="gone.dcm")), cohort, "training")

    def no_box(manifest):
        for entry in manifest["validation"]:
            entry["boxes"] = []

    with pytest.raises(DataError, match="no entry of its validation list has a box"):
        datalist(spoil(cohort, tmp_path, no_box), cohort, "validation")
    with pytest.raises(DataError, match="its test list is empty"):
        datalist(spoil(cohort, tmp_path, lambda m: m.update(test=[])), cohort, "test")


@pytest.mark.real
def test_the_challenge_s_own_table(real_data):
    from pipelines.rsna_pneumonia import _read_boxes

    boxes = _read_boxes(real_data / "rsna" / LABELS)
    assert len(boxes) == 26684
    assert sum(bool(b) for b in boxes.values()) == 6012 and sum(len(b) for b in boxes.values()) == 9555


@pytest.mark.real
def test_real_images_in_the_challenge_s_layout(real_data, tmp_path):
    manifest = build_rsna_manifest(real_data / "rsna_like", tmp_path / "m.json")
    labels = pd.read_csv(real_data / "rsna_like" / LABELS)
    assert len(entries(manifest)) == labels["patientId"].nunique() == 151
    assert sum(len(entry["boxes"]) for entry in entries(manifest)) == (labels["Target"] == 1).sum()
