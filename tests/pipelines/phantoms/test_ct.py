"""Phantom CT: in the challenge's layout, the same for the same seed, with organs where they are in a body."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pydicom
import pytest
from monai.transforms import Compose, LoadImaged

from pipelines import draw_ct_phantoms
from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.splits import SPLITS
from pipelines.phantoms.ct import BOWEL, LEFT_KIDNEY, LIVER, RIGHT_KIDNEY, SPLEEN
from transforms import CTReader, DataError, MatchGridd

LOAD = Compose([LoadImaged(["image", "label"], reader=CTReader()), MatchGridd("label", values=range(6))])


@pytest.fixture(scope="module")
def items(ct_cohort):
    entries = [item for split in SPLITS for item in datalist(ct_cohort / "manifest.json", ct_cohort, split, CTReader())]
    return [LOAD(entry) for entry in entries]


def test_cohort_is_in_the_challenge_s_layout(ct_cohort):
    table = pd.read_csv(ct_cohort / "train_series_meta.csv")
    assert list(table) == ["patient_id", "series_id", "aortic_hu", "incomplete_organ"]
    assert len(table) == 9 and table["patient_id"].nunique() == 8
    for row in table.itertuples():
        assert (ct_cohort / "segmentations" / f"{row.series_id}.nii.gz").is_file()
        files = sorted((ct_cohort / "train_images" / str(row.patient_id) / str(row.series_id)).glob("*.dcm"))
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        assert {header.SOPClassUID for header in headers} == {pydicom.uid.CTImageStorage}
        assert {str(header.InstanceNumber) for header in headers} == {file.stem for file in files}
        by_name = [header.ImagePositionPatient[2] for header in sorted(headers, key=lambda h: h.InstanceNumber)]
        assert by_name != sorted(by_name) and by_name != sorted(by_name, reverse=True)


def test_cohort_has_what_makes_reading_hard(ct_cohort):
    reader = CTReader()
    volumes = [reader.open(folder) for folder in sorted((ct_cohort / "train_images").glob("*/*"))]
    headers = [pydicom.dcmread(volume.files[0]) for volume in volumes]
    assert all(abs(h.SliceThickness - v.spacing[2]) > 1 for h, v in zip(headers, volumes, strict=True))
    assert len({round(volume.spacing[2], 1) for volume in volumes}) > 4
    assert {header.PatientPosition for header in headers} == {"HFS", "FFS"}
    assert len({header.file_meta.TransferSyntaxUID for header in headers}) == 2
    oblique = [np.abs(volume.affine[:3, :3]).min() > 0 for volume in volumes]
    assert 1 < sum(oblique) < 5


def test_organs_are_where_they_are_in_a_body(items):
    """Right is positive, as are anterior and superior: MONAI's affines are RAS."""
    for item in items:
        labels = item["label"].numpy()
        assert item["label"].shape == item["image"].shape and set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
        centre = {
            organ: item["image"].affine.numpy()[:3] @ [*np.argwhere(labels == organ).mean(axis=0), 1]
            for organ in range(1, 6)
        }
        assert centre[LIVER][0] > 20 and centre[SPLEEN][0] < -50
        assert centre[RIGHT_KIDNEY][0] > 30 and centre[LEFT_KIDNEY][0] < -30
        assert max(centre[LEFT_KIDNEY][1], centre[RIGHT_KIDNEY][1]) < centre[BOWEL][1]
        assert centre[BOWEL][2] < min(centre[LIVER][2], centre[SPLEEN][2])


def test_organs_have_plausible_hounsfield_units(items):
    for item in items:
        hounsfield, labels = item["image"].numpy(), item["label"].numpy()
        mean = {organ: hounsfield[labels == organ].mean() for organ in range(1, 6)}
        assert 60 < mean[LIVER] < 130 and 60 < mean[SPLEEN] < 130
        assert 40 < mean[LEFT_KIDNEY] < 200 and 40 < mean[RIGHT_KIDNEY] < 200
        assert -400 < mean[BOWEL] < 80
        assert hounsfield.min() > -1100 and np.median(hounsfield) < -900  # mostly air around the body
        assert 5 < hounsfield[labels == LIVER].std() < 60


def test_kidneys_are_alike_but_for_their_side(items):
    ratios = []
    for item in items:
        hounsfield, labels = item["image"].numpy(), item["label"].numpy()
        left, right = hounsfield[labels == LEFT_KIDNEY], hounsfield[labels == RIGHT_KIDNEY]
        assert abs(left.mean() - right.mean()) < 15
        ratios.append(left.size / right.size)
    assert 0.6 < np.median(ratios) < 1.6


def test_same_seed_draws_the_same_cohort(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        assert draw_ct_phantoms(folder, patients=7, size=40, seed=5) == str(folder)
    first, second = (
        [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".json"] for folder in folders
    )
    assert [p.relative_to(tmp_path / "a") for p in first] == [p.relative_to(tmp_path / "b") for p in second]
    # gzip notes the time: the segmentations are compared by what they hold
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True) if a.suffix != ".gz")
    labels = [CTReader().get_data(folder / "segmentations" / "20030.nii.gz")[0] for folder in folders]
    np.testing.assert_array_equal(*labels)


def test_second_use_draws_nothing_and_says_that_they_are_phantoms(ct_cohort, caplog):
    stamps = {file: file.stat().st_mtime_ns for file in ct_cohort.rglob("*")}
    draw_ct_phantoms(ct_cohort, patients=8, size=48, seed=3)
    assert stamps == {file: file.stat().st_mtime_ns for file in ct_cohort.rglob("*")}
    assert "PHANTOMS" in caplog.text and "manifest trauma DIR" in caplog.text


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path, ct_cohort, cohort):
    (tmp_path / "precious.txt").write_text("keep me")
    for folder in (tmp_path, cohort):
        with pytest.raises(DataError, match="phantoms"):
            draw_ct_phantoms(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(DataError, match="drawn with other settings"):
        draw_ct_phantoms(ct_cohort, patients=9, size=48, seed=3)


def test_manifest_keeps_both_series_of_a_patient_together(ct_cohort):
    manifest = read_manifest(ct_cohort / "manifest.json")
    entries = [entry for split in SPLITS for entry in manifest[split]]
    assert len(entries) == 9 and len({entry["patient_id"] for entry in entries}) == 8
    assert manifest["task"] == "abdomen"
