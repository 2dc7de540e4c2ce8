"""NIfTI files opened: what is read, how a slice lies, and what is refused."""

from __future__ import annotations

import gzip
import struct

import nibabel
import numpy as np
import pytest

from transforms import DataError, is_nifti
from transforms.files.nifti import open_nifti, plane_of, voxels

AS_SHOWN = np.diag([-1.0, -1.0, 1.0, 1.0])  # x to the patient's left, y to posterior


def save(path, values, affine=AS_SHOWN):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_names_of_nifti_files():
    names = ["a.nii", "a.nii.gz", "A.NII.GZ", "a.gz", "a.nii.png", "nii", "1.2.3"]
    assert [is_nifti(name) for name in names] == [True, True, True, False, False, False, False]


def test_voxels_are_scaled_as_the_header_says(tmp_path):
    image = nibabel.Nifti1Image(np.array([[[0, 1, 100]]], np.int16), AS_SHOWN)
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "a.nii.gz")
    values = voxels(open_nifti(tmp_path / "a.nii.gz"), tmp_path / "a.nii.gz")
    assert values.dtype == np.float32 and values.tolist() == [[[-10, -9.5, 40]]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused(tmp_path, value):
    path = save(tmp_path / "a.nii", np.array([[0, value]], np.float32))
    with pytest.raises(DataError, match="a.nii: holds voxels that are not a number"):
        voxels(open_nifti(path), path)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "text.nii").write_text("no NIfTI")
    with pytest.raises(DataError, match="text.nii: cannot be read as NIfTI, it may be cut short"):
        open_nifti(tmp_path / "text.nii")
    path = save(tmp_path / "cut.nii", np.zeros((9, 9, 9), np.int16))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cut.nii: its voxels cannot be read, it may be cut short"):
        voxels(open_nifti(path), path)


def test_opening_reads_no_more_than_the_header(tmp_path):
    """Neither voxels nor extensions, which are of any length: this one says that it is 2 GB long."""
    header = nibabel.Nifti1Image(np.zeros((3, 2, 1), np.uint8), AS_SHOWN).header
    header["magic"], header["vox_offset"] = b"n+1", 2**31
    extension = b"\1\0\0\0" + struct.pack("<ii", 2**31 - 16, 6)
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(header.binaryblock + extension)
    assert plane_of(open_nifti(tmp_path / "a.nii.gz"), tmp_path / "a.nii.gz") == (3, 2)
    nibabel.save(nibabel.Nifti2Image(np.zeros((3, 2, 1), np.uint8), AS_SHOWN), tmp_path / "2.nii")
    assert open_nifti(tmp_path / "2.nii").shape == (3, 2, 1)


def test_volumes_larger_than_the_memory_are_not_read(tmp_path):
    """A few bytes of zeros that inflate to 12 GB."""
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), AS_SHOWN).header
    header.set_data_shape((2000, 2000, 3000))
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(10_000))
    image = open_nifti(tmp_path / "bomb.nii.gz")
    with pytest.raises(DataError, match=r"bomb.nii.gz: has 2000 x 2000 x 3000 voxels, 48 GB; .* memory_gb is 2"):
        voxels(image, tmp_path / "bomb.nii.gz")


@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 1), (3, 2, 1, 1)])
def test_a_slice_has_columns_and_rows_whatever_axes_of_length_1_follow(tmp_path, shape):
    path = save(tmp_path / "a.nii", np.zeros(shape, np.uint8))
    assert plane_of(open_nifti(path), path) == (3, 2)


def facing(first, second):
    """An affine whose first two axes run along these RAS directions."""
    return np.column_stack([[*first, 0], [*second, 0], [*np.cross(first, second), 0], [0, 0, 0, 1]]).astype(float)


LEFT, POSTERIOR, INFERIOR = [-1, 0, 0], [0, -1, 0], [0, 0, -1]
RIGHT, ANTERIOR, SUPERIOR = [1, 0, 0], [0, 1, 0], [0, 0, 1]


@pytest.mark.parametrize("axes", [(LEFT, POSTERIOR), (LEFT, INFERIOR), (POSTERIOR, INFERIOR)])
def test_slices_of_each_plane_as_dicom_shows_them_are_taken(tmp_path, axes):
    path = save(tmp_path / "a.nii", np.zeros((3, 2, 1), np.uint8), facing(*axes))
    assert plane_of(open_nifti(path), path) == (3, 2)


@pytest.mark.parametrize(
    ("axes", "codes"),
    [
        ((RIGHT, ANTERIOR), "R and A"),  # as NIfTI's own axes: turned by half
        ((RIGHT, POSTERIOR), "R and P"),  # left and right exchanged
        ((LEFT, SUPERIOR), "L and S"),  # upside down
        ((POSTERIOR, LEFT), "P and L"),  # rows and columns exchanged
    ],
)
def test_slices_stored_otherwise_than_shown_are_refused(tmp_path, axes, codes):
    path = save(tmp_path / "a.nii", np.zeros((3, 2, 1), np.uint8), facing(*axes))
    with pytest.raises(DataError, match=f"a.nii: its first two axes run towards {codes} by its affine"):
        plane_of(open_nifti(path), path)


def test_volumes_are_no_slices(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((3, 2, 4), np.uint8))
    with pytest.raises(DataError, match=r"a.nii: has the shape \(3, 2, 4\); a radiograph has two axes"):
        plane_of(open_nifti(path), path)
