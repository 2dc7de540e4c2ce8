"""What inference leaves on disk: names, masks, overlays."""

from __future__ import annotations

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from transforms import OutputLayout, RadiographReader, SaveMaskd, SaveOverlayd, image_name, overlay


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


def test_overlay_is_saved_in_the_image_s_own_grid(tmp_path):
    mask = MetaTensor(torch.zeros(1, 30, 20), meta={"filename_or_obj": str(tmp_path / "in" / "x.dcm")})
    mask[0, 22:26, 3:8] = 1  # columns 22 to 25, rows 3 to 7
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "overlay")
    data = {"mask": mask, "shown": torch.full((1, 30, 20), 0.4)}
    written = SaveOverlayd("mask", layout, image_key="shown")(data)["written"]
    assert written == [tmp_path / "out" / "x_overlay.png"]
    picture = np.asarray(Image.open(written[0]))
    assert picture.shape == (20, 30, 3)
    coloured = np.argwhere(picture[..., 0] != picture[..., 2])
    assert coloured.min(axis=0).tolist() == [3, 22] and coloured.max(axis=0).tolist() == [7, 25]


def test_masks_are_written_as_pictures_and_as_nifti(write_dicom, tmp_path):
    """Read back by Pillow and nibabel: columns and rows are not mixed up, nor is the file's place."""
    pixels = np.zeros((20, 30), np.uint8)
    pixels[3:8, 22:26] = 255
    path = write_dicom(pixels, name="in/sub/1.2.840.7", PixelSpacing=[0.25, 0.5])
    image = LoadImage(reader=RadiographReader(), image_only=True, ensure_channel_first=True)(path)
    mask = (image > 0.5).to(torch.uint8)
    data = {"mask": mask}
    for suffix in (".png", ".nii.gz"):
        data = SaveMaskd("mask", OutputLayout(tmp_path / "out", tmp_path / "in", "mask", suffix))(data)
    picture, volume = data["written"]
    assert [path.name for path in data["written"]] == ["1.2.840.7_mask.png", "1.2.840.7_mask.nii.gz"]
    assert np.array_equal(np.asarray(Image.open(picture)), pixels)
    saved = nibabel.load(volume)
    assert np.array_equal(np.asarray(saved.dataobj).squeeze().T * 255, pixels)
    assert np.allclose(saved.header.get_zooms()[:2], (0.5, 0.25))
    assert sorted(path.name for path in picture.parent.iterdir()) == ["1.2.840.7_mask.nii.gz", "1.2.840.7_mask.png"]


def test_names_of_images_and_of_the_input_folder_itself(tmp_path):
    assert [image_name(name) for name in ("a.dcm", "1.2.840", "b.nii.gz", "c.PNG")] == ["a", "1.2.840", "b", "c"]
    layout = OutputLayout(tmp_path / "out", tmp_path / "series", "mask", ".nii.gz")
    assert layout.filename(tmp_path / "series") == str(tmp_path / "out" / "series_mask.nii.gz")
