"""Files written for images: their names, their masks as Pillow and nibabel read them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from PIL import Image

from transforms import OutputLayout, RadiographReader, SaveFiled, SaveMaskd


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


class SaveSum(SaveFiled):
    """Writes the sum of an image."""

    def write(self, data, key, path):
        path.write_text(f"{key} {data[key].sum():g}")


def test_every_file_is_named_after_its_image_and_noted(tmp_path):
    ones = MetaTensor(torch.ones(1, 3, 2), meta={"filename_or_obj": str(tmp_path / "in" / "sub" / "a.dcm")})
    data = {"pred": ones, "image": ones * 2}
    first = SaveSum("pred", OutputLayout(tmp_path / "out", tmp_path / "in", "one", ".txt"))
    second = SaveSum("image", OutputLayout(tmp_path / "out", tmp_path / "in", "two", ".txt"))
    done = second(first(data))
    folder = tmp_path / "out" / "sub"
    assert done["written"] == [folder / "a_one.txt", folder / "a_two.txt"]
    assert [path.read_text() for path in done["written"]] == ["pred 6", "image 12"]
    assert "written" not in data


def test_labels_of_volumes_keep_their_values_and_their_place(tmp_path):
    affine = np.array([[-0.7, 0.1, 0, 12], [-0.1, -0.7, 0, 40], [0, 0, 2.5, -90], [0, 0, 0, 1]])
    labels = np.random.default_rng(0).integers(0, 6, (7, 5, 4)).astype(np.uint8)
    meta = {"filename_or_obj": str(tmp_path / "ct" / "a.nii.gz")}
    volume = MetaTensor(torch.from_numpy(labels)[None], affine=torch.from_numpy(affine), meta=meta)
    layout = OutputLayout(tmp_path / "out", tmp_path / "ct", "seg", ".nii.gz")
    (path,) = SaveMaskd("pred", layout)({"pred": volume})["written"]
    saved = nibabel.load(path)
    assert path.name == "a_seg.nii.gz" and saved.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(saved.dataobj), labels)
    np.testing.assert_allclose(saved.affine, affine, atol=1e-6)


def test_a_mask_that_cannot_be_written_leaves_the_one_before(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "mask")
    mask = MetaTensor(torch.ones(1, 3, 2), meta={"filename_or_obj": str(tmp_path / "in" / "a.dcm")})
    (path,) = SaveMaskd("pred", layout)({"pred": mask})["written"]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a mask has one channel, not 5"):
        SaveMaskd("pred", layout)({"pred": MetaTensor(torch.ones(5, 3, 2), meta=mask.meta)})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
