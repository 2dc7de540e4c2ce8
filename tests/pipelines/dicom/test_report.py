"""Reports of found boxes: read back by highdicom, in the image's pixels, and valid."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from monai.data import MetaTensor
from pydicom.sr.codedict import codes

from pipelines.dicom.algorithm import Algorithm
from pipelines.dicom.report import SaveReportd, write_report
from tests.conftest import errors_of
from tests.pipelines.dicom.conftest import ALGORITHM, COLUMNS, DX, ROWS, segments_of
from transforms import OutputLayout

FINDING = segments_of("pneumonia")[0]
FOUND = [(0.875, (3.0, 4.0, 6.0, 12.0)), (0.5, (20.0, 0.0, 10.0, 20.0))]


@pytest.mark.parametrize("tags", [{}, DX])
@pytest.mark.parametrize("found", [FOUND, []], ids=["boxes", "none"])
def test_report_is_valid(radiograph, tmp_path, found, tags):
    write_report(found, radiograph(**tags), FINDING, tmp_path / "sr.dcm", ALGORITHM)
    assert errors_of(tmp_path / "sr.dcm") == []


def test_report_gives_the_boxes_and_their_certainty(radiograph, tmp_path):
    source = radiograph()
    write_report(FOUND, source, FINDING, tmp_path / "sr.dcm", ALGORITHM)
    report = highdicom.sr.srread(tmp_path / "sr.dcm")
    assert report.VerificationFlag == "UNVERIFIED" and report.PatientID == "ID-4711"
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.finding_type.value for group in groups] == ["112001", "112001"]
    first, second = (np.asarray(group.roi.value) for group in groups)
    assert first.tolist() == [[3, 4], [9, 4], [9, 16], [3, 16], [3, 4]]  # (column, row), closed
    assert second.max(axis=0).tolist() == [30, 20]  # the image's lower right corner
    certainties = [group.get_measurements()[0] for group in groups]
    assert [(c.value, c.unit.value, c.name.value) for c in certainties] == [
        (87.5, "%", "111012"),
        (50.0, "%", "111012"),
    ]
    assert str(pydicom.dcmread(source).SOPInstanceUID) in str(report)


def test_report_says_that_nothing_was_found(radiograph, tmp_path):
    write_report([], radiograph(), FINDING, tmp_path / "sr.dcm", ALGORITHM)
    content = highdicom.sr.srread(tmp_path / "sr.dcm").content
    assert content.get_planar_roi_measurement_groups() == []
    (group,) = content.get_image_measurement_groups()
    (said,) = group.get_qualitative_evaluations()
    assert (said.name.value, said.value.meaning) == ("112001", "Absent")


def test_transform_reports_the_boxes_of_a_probability_beside_its_image(radiograph, tmp_path):
    """In the image's columns and rows, though the probability's first axis is x; at the threshold and above."""
    source = radiograph()
    probability = np.zeros((1, COLUMNS, ROWS), np.float32)
    probability[0, 3:9, 4:16], probability[0, 20:30, 0:2] = 0.75, 0.25
    data = {"probability": MetaTensor(probability, meta={"filename_or_obj": str(source)})}
    layout = OutputLayout(tmp_path / "out", tmp_path, "report", ".dcm")
    (path,) = SaveReportd("probability", layout, 0.5, FINDING, ALGORITHM)(data)["written"]
    assert path == tmp_path / "out" / "image_report.dcm"
    (group,) = highdicom.sr.srread(path).content.get_planar_roi_measurement_groups()
    assert np.asarray(group.roi.value).tolist() == [[3, 4], [9, 4], [9, 16], [3, 16], [3, 4]]
    assert group.get_measurements()[0].value == 75


def test_a_finding_is_absent_only_where_the_mask_is_empty(radiograph, tmp_path):
    """A part of a single pixel, as sure as the threshold, is told; below it nothing is."""
    layout = OutputLayout(tmp_path / "out", tmp_path, "report", ".dcm")
    save = SaveReportd("probability", layout, 0.5, FINDING, ALGORITHM)
    for value, told in ((0.5, 1), (0.49, 0)):
        probability = np.zeros((1, 10 * COLUMNS, 10 * ROWS), np.float32)  # of which boxes of findings have more
        probability[0, 7, 9] = value
        (path,) = save({"probability": MetaTensor(probability, meta={"filename_or_obj": str(radiograph())})})["written"]
        content = highdicom.sr.srread(path).content
        assert len(content.get_planar_roi_measurement_groups()) == told
        assert len(content.get_image_measurement_groups()) == 1 - told


def test_names_what_found_the_boxes_and_two_trainings_apart(radiograph, tmp_path):
    uids = set()
    for weights in ("0" * 24, "1" * 24):
        algorithm = Algorithm("Finder", "1.2.3", weights + "f" * 40)
        write_report(FOUND, radiograph(), FINDING, tmp_path / "sr.dcm", algorithm)
        report = highdicom.sr.srread(tmp_path / "sr.dcm")
        (device,) = report.content.get_observer_contexts()
        assert device.observer_identifying_attributes.name == "Finder"
        uids.add(device.observer_identifying_attributes.uid)
        for name, value in ((codes.DCM.AlgorithmName, "Finder"), (codes.DCM.AlgorithmVersion, "1.2.3")):
            found = highdicom.sr.utils.find_content_items(report, name=name, recursive=True)
            assert [item.TextValue for item in found] == [value] * len(FOUND)
    assert len(uids) == 2
