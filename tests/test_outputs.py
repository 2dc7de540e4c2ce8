"""What inference leaves on disk, and which files it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from transforms import DataError, OutputLayout, RadiographReader, SaveOverlayd, find_radiographs, image_name, overlay


def test_names_of_files_without_extension_stay_apart(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "mask")
    names = [
        layout.filename(subject=tmp_path / "in" / "sub" / name) for name in ("1.2.3.4", "1.2.3.5", "a.dcm", "b.PNG")
    ]
    assert names == [str(tmp_path / "out" / "sub" / f"{n}_mask.png") for n in ("1.2.3.4", "1.2.3.5", "a", "b")]


def test_the_folder_itself_may_be_the_series(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "series", "mask", ".nii.gz")
    assert layout.filename(subject=tmp_path / "series") == str(tmp_path / "out" / "series_mask.nii.gz")


def test_overlay_marks_the_mask_and_nothing_else():
    image, mask = np.full((40, 60), 0.5, np.float32), np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    picture = overlay(image, mask)
    assert picture.shape == (40, 60, 3) and picture.dtype == np.uint8
    changed = (picture != 128).any(axis=2)
    np.testing.assert_array_equal(changed, mask)
    assert tuple(picture[10, 30]) == (255, 127, 14)  # the edge
    assert tuple(picture[15, 40]) == (159, 127, 99)  # inside: three quarters of 127.5 and one of the colour


def test_overlay_is_saved_in_the_image_s_own_grid(write_dicom, tmp_path):
    path = write_dicom(np.full((20, 30), 100, np.uint8), name="in/x.dcm")
    mask = MetaTensor(torch.zeros(1, 30, 20), meta={"filename_or_obj": str(path)})
    mask[0, 22:26, 3:8] = 1  # columns 22 to 25, rows 3 to 7
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "overlay")
    SaveOverlayd("pred", layout, RadiographReader())({"pred": mask})
    picture = np.asarray(Image.open(tmp_path / "out" / "x_overlay.png"))
    assert picture.shape == (20, 30, 3)
    coloured = np.argwhere(picture[..., 0] != picture[..., 2])
    assert coloured.min(axis=0).tolist() == [3, 22] and coloured.max(axis=0).tolist() == [7, 25]


def test_radiographs_are_found_by_content_and_the_rest_is_explained(write_dicom, tmp_path, caplog):
    pixels = np.zeros((4, 6), np.uint8)
    kept = [write_dicom(pixels, name=name) for name in ("in/b.dcm", "in/deep/1.2.3")]
    write_dicom(pixels, name="in/ct.dcm", Modality="CT")
    write_dicom(pixels, name="in/cine.dcm", NumberOfFrames=2)
    write_dicom(pixels, name="in/unspaced.dcm", PixelSpacing=None)
    (tmp_path / "in" / "page.dcm").write_text("<html>" * 100)
    assert find_radiographs(tmp_path / "in", RadiographReader()) == [{"image": str(path)} for path in sorted(kept)]
    assert "left out 4 of 6" in caplog.text
    assert "ct.dcm: its Modality (0008,0060) is CT" in caplog.text
    assert "page.dcm: not a DICOM file" in caplog.text
    assert "cine.dcm: has 2 frames" in caplog.text
    assert "unspaced.dcm: no pixel spacing" in caplog.text
    assert len(find_radiographs(tmp_path / "in", RadiographReader("pixels"))) == 3


def test_folder_without_radiographs_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        find_radiographs(tmp_path / "gone", RadiographReader())
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(DataError, match="none of its 1 files"):
        find_radiographs(tmp_path, RadiographReader())


def test_outputs_of_an_earlier_run_and_second_images_of_a_name_are_no_inputs(write_dicom, tmp_path, caplog):
    pixels = np.zeros((4, 6), np.uint8)
    kept = write_dicom(pixels, name="in/a.dcm")
    for name in ("in/a.png", "in/out/a_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    found = find_radiographs(tmp_path / "in", RadiographReader("pixels"), tmp_path / "in" / "out")
    assert found == [{"image": str(kept)}]
    assert "a.png: its outputs would have the names of those of a.dcm" in caplog.text


def test_names_of_images_and_of_the_input_folder_itself(tmp_path):
    assert [image_name(name) for name in ("a.dcm", "1.2.840", "b.nii.gz", "c.PNG")] == ["a", "1.2.840", "b", "c"]
    layout = OutputLayout(tmp_path / "out", tmp_path / "series", "mask", ".nii.gz")
    assert layout.filename(tmp_path / "series") == str(tmp_path / "out" / "series_mask.nii.gz")
