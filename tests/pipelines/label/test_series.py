"""Series of a store as images, and labels from any file on their images' grids."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from pipelines.label.series import on_grid, series_files, series_to_nifti
from transforms import CTReader, DataError


@pytest.fixture
def ct(ct_cohort):
    return next(sorted((ct_cohort / "train_images").iterdir())[0].iterdir())


def test_a_ct_is_its_slices_in_the_order_of_their_positions(ct, tmp_path):
    volume = CTReader().open(ct)
    assert series_files(ct) == list(volume.files)
    series_to_nifti(ct, tmp_path / "ct.nii.gz")
    image = nibabel.load(tmp_path / "ct.nii.gz")
    assert image.shape == volume.shape and np.allclose(image.affine, volume.affine, atol=1e-4)


def test_a_radiograph_arrives_as_it_is_meant_to_be_shown(write_dicom, tmp_path):
    """Inverted where it is MONOCHROME1, which a conversion by ITK would not tell; columns first."""
    pixels = np.zeros((4, 6), np.uint8)
    pixels[1, 2] = 255
    path = write_dicom(pixels, name="series/a.dcm", PhotometricInterpretation="MONOCHROME1")
    series_to_nifti(path.parent, tmp_path / "a.nii.gz")
    shown = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    assert shown.shape == (6, 4, 1) and shown[2, 1, 0] == 0 and shown.sum() == 23
    shutil.copy(path, path.parent / "b.dcm")
    with pytest.raises(DataError, match="holds 2 radiographs"):
        series_files(path.parent)


def test_labels_are_laid_onto_their_images_grid(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3), np.int16), np.diag([-1.0, -1.0, 2.0, 1.0]))
    label = np.zeros((5, 4, 3), np.uint8)
    label[1, 2, 0] = 3
    flipped = np.diag([1.0, -1.0, 2.0, 1.0])
    flipped[0, 3] = -4.0  # the same place, its first axis the other way
    nibabel.save(nibabel.Nifti1Image(label[::-1], flipped), tmp_path / "label.nii.gz")
    assert np.array_equal(on_grid(tmp_path / "label.nii.gz", image), label)
    nibabel.save(nibabel.Nifti1Image(label, np.diag([-1.0, -1.0, 3.0, 1.0])), tmp_path / "other.nii.gz")
    with pytest.raises(DataError, match="is not on the grid of"):
        on_grid(tmp_path / "other.nii.gz", image)


def test_labels_of_radiographs_may_be_pictures(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((5, 4, 1), np.float32), np.eye(4))
    mask = np.zeros((4, 5), np.uint8)  # rows, columns
    mask[2, 1] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert np.argwhere(on_grid(tmp_path / "mask.png", image)).tolist() == [[1, 2, 0]]
    Image.fromarray(mask[:, :3]).save(tmp_path / "small.png")
    with pytest.raises(DataError, match=r"is of \(3, 4\) pixels, its image of \(5, 4\)"):
        on_grid(tmp_path / "small.png", image)
    nibabel.save(nibabel.Nifti1Image(np.full((5, 4, 1), 0.5, np.float32), np.eye(4)), tmp_path / "half.nii.gz")
    with pytest.raises(DataError, match="not whole numbers"):
        on_grid(tmp_path / "half.nii.gz", image)
