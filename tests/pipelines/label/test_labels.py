"""Which segmentations are labels, and what the trained bundle calls their segments."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from pipelines.dicom.algorithm import Algorithm
from pipelines.dicom.segmentation import write_segmentation
from pipelines.label.labels import no_label, read_labels
from tests.running import bundle_of
from transforms import CTReader


def segments(bundle, *labels):
    return [segment for segment in bundle_of(bundle).segments if segment["label"] in labels or not labels]


@pytest.fixture
def drawn(ct_cohort):
    """The files of a CT, a mask of its right kidney, 1, and spleen, 2, and a writer of it as a segmentation."""
    files = CTReader().open(sorted((ct_cohort / "train_images").glob("*/*"))[0]).files
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    mask = np.zeros((header.Columns, header.Rows, len(files)), np.uint8)
    mask[3:9, 4:20, 2:5], mask[20:30, 4:20, 3:9] = 1, 2
    organs = segments("abdomen", "right kidney") + segments("abdomen", "spleen")  # not in the bundle's order

    def write(path, kind):
        write_segmentation(mask, files, organs, path, Algorithm("Someone", "1", "0" * 16, type=kind))
        return path

    return files, mask, write


def test_segments_get_the_numbers_that_the_trained_bundle_has(drawn, tmp_path):
    files, mask, write = drawn
    path = write(tmp_path / "drawn.dcm", "SEMIAUTOMATIC")
    labels = read_labels(path, files, segments("abdomen"))
    assert np.array_equal(labels, np.array([0, 4, 2], np.uint8)[mask])  # the right kidney is 4 there, the spleen 2
    assert no_label(pydicom.dcmread(path), segments("abdomen")) is None


def test_what_no_person_has_seen_or_another_bundle_marks_is_no_label(drawn, tmp_path):
    _, _, write = drawn
    by_hand = pydicom.dcmread(write(tmp_path / "drawn.dcm", "SEMIAUTOMATIC"))
    assert "none of the bundle's segments" in no_label(by_hand, segments("lungs"))
    by_model = pydicom.dcmread(write(tmp_path / "made.dcm", "AUTOMATIC"))
    assert "AUTOMATIC" in no_label(by_model, segments("abdomen"))
    by_hand.SegmentationType = "FRACTIONAL"
    assert "FRACTIONAL" in no_label(by_hand, segments("abdomen"))
