"""Masks and radiographs from picture files, against values written by hand."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from transforms import AsInFiled, CheckSameGridd, DataError, MaskReader, RadiographReader

LEFT = np.array([[0, 127, 128], [255, 0, 0]], np.uint8)  # (rows, columns)
RIGHT = np.array([[0, 0, 0], [0, 0, 200]], np.uint8)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def load(paths, **settings):
    return LoadImage(reader=MaskReader(**settings), image_only=True)(paths)


def test_above_127_is_inside_and_columns_come_first(tmp_path):
    mask = load(save(tmp_path / "a.png", LEFT))
    assert mask.shape == (3, 2) and mask.numpy().T.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert load(tmp_path / "a.png", threshold=128).numpy().T.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_left_and_right_lung_are_united(tmp_path):
    files = [save(tmp_path / "l.png", LEFT), save(tmp_path / "r.png", RIGHT)]
    assert load(files).numpy().T.tolist() == [[0, 0, 1], [1, 0, 1]]


def test_empty_masks_are_read_and_too_dark_ones_are_refused(tmp_path):
    assert not load(save(tmp_path / "empty.png", np.zeros((4, 5), np.uint8))).any()
    with pytest.raises(DataError, match="b.png: its greatest value is 2 of 255"):
        load(save(tmp_path / "b.png", (LEFT > 127).astype(np.uint8) * 2))


def test_label_maps_as_drawing_tools_write_them(tmp_path):
    """0 and 1 in PNG, the same in NIfTI (with its third axis) and in DICOM."""
    expected = [[0, 0, 1], [1, 0, 0]]
    mask = (LEFT > 127).astype(np.uint8)
    assert load(save(tmp_path / "a.png", mask)).numpy().T.tolist() == expected
    nibabel.save(nibabel.Nifti1Image(mask.T[..., None], np.diag([-1, -1, 1, 1])), tmp_path / "a.nii.gz")
    assert load(tmp_path / "a.nii.gz").numpy().T.tolist() == expected
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask), str(tmp_path / "a.dcm"))
    assert load(tmp_path / "a.dcm").numpy().T.tolist() == expected
    flipped = nibabel.Nifti1Image(mask.T[:, ::-1, None], np.diag([-1, 1, 1, 1]))
    nibabel.save(flipped, tmp_path / "f.nii.gz")
    with pytest.raises(DataError, match="f.nii.gz: its first two axes run towards L and A"):
        load(tmp_path / "f.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2, 4), np.uint8), np.diag([-1, -1, 1, 1])), tmp_path / "v.nii.gz")
    with pytest.raises(DataError, match=r"v.nii.gz: has the shape \(3, 2, 4\)"):
        load(tmp_path / "v.nii.gz")


def test_bad_masks_name_the_file(tmp_path):
    with pytest.raises(DataError, match="gone.png: no such file"):
        load(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="text.png: a mask must be a PNG, JPEG, NIfTI or DICOM"):
        load(tmp_path / "text.png")
    big = save(tmp_path / "big.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    big.write_bytes(big.read_bytes()[:1000])
    with pytest.raises(DataError, match="big.png: cannot be decoded"):
        load(big)
    with pytest.raises(DataError, match=r"r.png: is of \(2, 2\) pixels"):
        load([save(tmp_path / "l.png", LEFT), save(tmp_path / "r.png", LEFT[:, :2])])


def test_mask_of_another_size_than_its_image(tmp_path):
    image = LoadImage(reader=RadiographReader("pixels"), image_only=True, ensure_channel_first=True)
    mask = LoadImage(reader=MaskReader(), image_only=True, ensure_channel_first=True)
    item = {"image": image(save(tmp_path / "i.png", LEFT)), "label": mask(save(tmp_path / "m.png", LEFT))}
    assert CheckSameGridd()(item)["label"].meta["filename_or_obj"].endswith("i.png")
    item["label"] = mask(save(tmp_path / "m.png", LEFT[:, :2]))
    with pytest.raises(DataError, match=r"m.png: the mask has \(2, 2\) .*, its image .*i.png has \(3, 2\)"):
        CheckSameGridd()(item)


# Radiographs in the same kinds of file ----------------------------------------------------------------------------


def read(path):
    return LoadImage(reader=RadiographReader("pixels"), image_only=True)(path)


def test_grey_of_8_and_16_bits(tmp_path):
    image = read(save(tmp_path / "a.png", LEFT))
    np.testing.assert_allclose(image.numpy().T, LEFT / 255, atol=1e-6)
    assert image.meta["spacing_known"] is False
    deep = np.array([[0, 1000, 65535]], np.uint16)
    np.testing.assert_allclose(read(save(tmp_path / "b.png", deep)).numpy().T, deep / 65535, atol=1e-6)


def test_colour_is_luminance_and_transparency_is_black(tmp_path):
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0] = [[255, 0, 0], [0, 255, 0], [60, 60, 60]]
    expected = [[0.299, 0.587, 60 / 255]]  # ITU-R BT.601
    np.testing.assert_allclose(read(save(tmp_path / "rgb.png", colours)).numpy().T, expected, atol=0.003)
    alpha = np.dstack([colours, np.array([[255, 255, 0]], np.uint8)])
    np.testing.assert_allclose(read(save(tmp_path / "a.png", alpha)).numpy().T, [[0.299, 0.587, 0]], atol=0.003)


def test_jpeg_is_turned_as_its_exif_says(tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    shown = read(save(tmp_path / "turned.jpeg", pixels, exif=exif)).numpy().T
    assert shown.shape == (32, 16) and shown[:, 8:].min() > 0.9 and shown[:, :8].max() < 0.1


def test_picture_without_spacing_is_refused_unless_pixels_will_do(tmp_path):
    path = save(tmp_path / "a.png", LEFT)
    with pytest.raises(DataError, match="a.png: a PNG or JPEG file does not say its pixel spacing.*unknown_spacing"):
        RadiographReader().open(path)


def test_radiographs_in_nifti(tmp_path):
    """Floating point values of 0 to 1 stay; others are stretched. The file's affine and shape are known afterwards."""
    affine = np.diag([-0.2, -0.3, 1, 1])
    shown = np.array([[0.1, 0.5, 0.7]], np.float32)  # one row
    nibabel.save(nibabel.Nifti1Image(shown.T[..., None], affine), tmp_path / "a.nii.gz")
    image = LoadImage(reader=RadiographReader(), image_only=True)(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.numpy().T, shown)
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    assert image.meta["file_shape"].tolist() == [3, 1, 1] and image.meta["spacing_known"] is True
    nibabel.save(nibabel.Nifti1Image(np.array([[-10, 0, 30]], np.int16).T, affine), tmp_path / "b.nii")
    np.testing.assert_allclose(read(tmp_path / "b.nii").numpy().T, [[0, 0.25, 1]], atol=1e-6)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 2, 4), np.int16), affine), tmp_path / "c.nii")
    with pytest.raises(DataError, match=r"c.nii: has the shape \(3, 2, 4\); a radiograph has two axes"):
        read(tmp_path / "c.nii")


def test_masks_get_the_axes_of_their_file():
    image = MetaTensor(torch.zeros(1, 3, 2), meta={"file_shape": np.array([3, 2, 1]), "spatial_shape": [3, 2]})
    mask = torch.arange(6).reshape(1, 3, 2)
    done = AsInFiled("pred")({"image": image, "pred": mask})
    assert done["pred"].shape == (3, 2, 1) and done["pred"].flatten().tolist() == list(range(6))
    assert done["image"].meta["spatial_shape"].tolist() == [3, 2, 1]
    assert AsInFiled("pred")({"image": image, "pred": mask[:, :2]})["pred"].shape == (1, 2, 2)
