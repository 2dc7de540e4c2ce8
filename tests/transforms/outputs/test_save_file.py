"""Masks on disk, read back by Pillow and nibabel."""

from __future__ import annotations

import nibabel
import numpy as np
import torch
from monai.transforms import LoadImage
from PIL import Image

from transforms import OutputLayout, RadiographReader, SaveMaskd


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
