"""Masks from files of every kind, against values written by hand."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK
from monai.transforms import LoadImage
from PIL import Image

from transforms import DataError, MaskReader

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
