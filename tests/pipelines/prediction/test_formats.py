"""The formats of masks: which bundle can be asked for which, and that the writer of each writes it."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pydicom
import pytest
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from pipelines.dicom.algorithm import Algorithm
from pipelines.prediction.formats import FORMATS, REPORT, choose_format, writer_of
from tests.running import BUNDLES, bundle_of
from transforms import DataError, RadiographReader

OF_RADIOGRAPHS, OF_CT = ("png", "nifti", "seg", "seg-strict"), ("nifti", "seg", "rtstruct")
ALGORITHM = Algorithm("Finder", "1.2.3", "0123456789abcdef" * 4)
MASK = np.zeros((1, 30, 20), np.float32)  # (channel, x, y)
MASK[0, 3:9, 4:16] = 1


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_has_its_own_format_and_takes_what_can_hold_its_masks(name):
    volumes = bundle_of(name).is_volumetric
    assert choose_format(bundle_of(name), None) == ("nifti" if volumes else "png")
    able, unable = (OF_CT, ["png", "seg-strict"]) if volumes else (OF_RADIOGRAPHS, ["rtstruct"])
    assert {*able, *unable} == set(FORMATS)
    assert [choose_format(bundle_of(name), format) for format in able] == list(able)
    for format in unable:
        with pytest.raises(
            DataError, match=f"{name}: .*{format.upper()} cannot hold. Give --format {' or '.join(able)}"
        ):
            choose_format(bundle_of(name), format)


def test_probabilities_are_kept_in_segmentations_where_there_are_any():
    assert choose_format(bundle_of("lungs"), "seg", fractional=True) == "seg"
    assert choose_format(bundle_of("lungs"), "seg-strict", fractional=True) == "seg-strict"
    for format in (None, "nifti"):
        with pytest.raises(DataError, match="--fractional is for DICOM Segmentations: add --format seg"):
            choose_format(bundle_of("lungs"), format, fractional=True)
    with pytest.raises(DataError, match="abdomen: gives labels, not probabilities"):
        choose_format(bundle_of("abdomen"), "seg", fractional=True)


@pytest.fixture
def written(write_dicom, tmp_path):
    """Writes a mask of a radiograph that lies in a folder, by a format's writer as a configuration has it."""

    def write(format, bundle, **settings):
        uids = {"StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.2"}
        source = write_dicom(
            np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8), "in/deep/image.dcm", **uids
        )
        config = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out"), "threshold": 0.5}
        config["writer"] = writer_of(format, bundle_of(bundle), ALGORITHM, "pred", **settings)
        image = LoadImage(reader=RadiographReader(), ensure_channel_first=True)(source)
        pred = MetaTensor(MASK, meta=image.meta)
        data = ConfigParser(config).get_parsed_content("writer")({"pred": pred, "sources": [str(source)]})
        (path,) = data["written"]
        assert path.is_file() and path.parent == tmp_path / "out" / "deep"
        return path

    return write


def test_pictures(written):
    path = written(FORMATS["png"], "lungs")
    assert path.name == "image_mask.png"
    assert np.array_equal(np.asarray(Image.open(path)) > 0, MASK[0].T > 0)  # rows, columns


def test_nifti(written):
    path = written(FORMATS["nifti"], "lungs")
    assert path.name == "image_mask.nii.gz"
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj).squeeze(), MASK[0])


@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_segmentations(written, fractional, strict):
    path = written(FORMATS["seg-strict" if strict else "seg"], "lungs", **({"fractional": True} if fractional else {}))
    segmentation = pydicom.dcmread(path)
    assert ("PlaneOrientationSequence" in segmentation.SharedFunctionalGroupsSequence[0]) is not strict
    assert path.name == "image_seg.dcm" and segmentation.Modality == "SEG"
    assert segmentation.SegmentationType == ("FRACTIONAL" if fractional else "BINARY")
    assert np.array_equal(segmentation.pixel_array > 0, MASK[0].T > 0)
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"  # SNOMED CT: lung structure
    assert segment.SegmentAlgorithmName == "Finder"


def test_reports(written):
    path = written(REPORT, "pneumonia", threshold="@threshold")
    report = pydicom.dcmread(path)
    assert path.name == "image_report.dcm" and report.Modality == "SR"
    assert [3, 4, 9, 4, 9, 16, 3, 16, 3, 4] in [list(item) for item in graphics(report)]  # (column, row), closed


def graphics(item):
    """The outlines in a report's tree."""
    found = [item.GraphicData] if "GraphicData" in item else []
    return found + [data for inner in item.get("ContentSequence", ()) for data in graphics(inner)]


@pytest.mark.parametrize("name", ["seg", "rtstruct"])
def test_where_highdicom_is_missing_that_is_said_before_an_image_is_read(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    for module in ("source", "segmentation", "rtstruct"):
        monkeypatch.delitem(sys.modules, f"pipelines.dicom.{module}", raising=False)
    with pytest.raises(DataError, match="pip install 'highdicom"):
        writer_of(FORMATS[name], bundle_of("abdomen"), ALGORITHM, "pred")
    writer_of(FORMATS["nifti"], bundle_of("abdomen"), ALGORITHM, "pred")  # needs no DICOM
