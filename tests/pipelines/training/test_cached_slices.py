"""Slices of volumes from disk: those of the transforms, read once, neighbours at hand, random states as told."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.data.utils import set_rnd
from monai.transforms import Compose, EnsureTyped, Lambdad, LoadImaged, RandFlipd, RandRotated, ScaleIntensityRanged

from pipelines import CachedSlices
from transforms import CTReader, DataError

DEPTHS = (3, 1, 4)


def transform(top=100, random=()):
    return Compose(
        [
            LoadImaged("image", reader=CTReader(), ensure_channel_first=True),
            LoadImaged("label", reader=CTReader(labels=True), ensure_channel_first=True),
            ScaleIntensityRanged("image", 0, top, 0, 1, clip=True),
            EnsureTyped("label", dtype=torch.uint8),
            *random,
        ]
    )


def volume(number, depth):
    """(x, y, z) of 6 x 5 pixels; the voxel z of volume n is around 10 n + z."""
    values = np.arange(30, dtype=np.float32).reshape(6, 5, 1) / 100 + 10 * number + np.arange(depth, dtype=np.float32)
    return values, ((values * 100).astype(int) % 6).astype(np.uint8)


@pytest.fixture
def data(tmp_path):
    items = []
    for number, depth in enumerate(DEPTHS):
        item = {}
        for key, values in zip(("image", "label"), volume(number, depth), strict=True):
            item[key] = str(tmp_path / f"{key}{number}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1, 2, 1])), item[key])
        items.append(item)
    return items


def test_items_are_the_slices_of_all_volumes_in_order(data, tmp_path):
    slices = CachedSlices(data, transform(), tmp_path / "cache")
    assert len(slices) == sum(DEPTHS)
    index = 0
    for number, depth in enumerate(DEPTHS):
        image, label = volume(number, depth)
        for z in range(depth):
            item = slices[index]
            assert item["image"].shape == (3, 6, 5) and item["label"].shape == (1, 6, 5)
            for channel in item["image"]:
                np.testing.assert_allclose(channel, image[..., z] / 100, atol=1e-5)
            assert np.array_equal(item["label"][0], label[..., z]) and item["label"].dtype == torch.uint8
            index += 1


def test_neighbours_are_of_the_same_volume_and_repeat_at_its_ends(data, tmp_path):
    slices = CachedSlices(data, transform(), tmp_path / "cache", channels="neighbours")
    of = [round(100 * float(channel[0, 0])) for item in (slices[k] for k in range(8)) for channel in item["image"]]
    assert of == [0, 0, 1, 0, 1, 2, 1, 2, 2, 10, 10, 10, 20, 20, 21, 20, 21, 22, 21, 22, 23, 22, 23, 23]
    assert np.array_equal(slices[2]["label"][0], volume(0, 3)[1][..., 2])
    with pytest.raises(ValueError, match="channels is 'both': give one of grey, neighbours"):
        CachedSlices(data, transform(), tmp_path / "cache", channels="both")


def test_volumes_are_read_once_and_anew_where_something_changed(data, tmp_path):
    CachedSlices(data, transform(), tmp_path / "cache")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    assert len(times) == 2 * len(DEPTHS)
    CachedSlices(data, transform(), tmp_path / "cache", channels="neighbours")  # shares them
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    changed = np.full((6, 5, 2), 77, np.float32)
    changed[-1, -1, -1] = 78
    nibabel.save(nibabel.Nifti1Image(changed, np.diag([-1.0, -1, 2, 1])), data[1]["image"])
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5, 2), np.uint8), np.diag([-1.0, -1, 2, 1])), data[1]["label"])
    again = CachedSlices(data, transform(), tmp_path / "cache")
    assert len(again) == 9 and float(again[4]["image"][0, 0, 0]) == pytest.approx(0.77, abs=1e-4)
    assert float(CachedSlices(data, transform(50), tmp_path / "cache")[4]["image"][0, 0, 0]) == 1


def test_a_series_of_which_a_file_changed_is_read_anew(tmp_path):
    """The folder's own time does not tell when a file in it was written over."""
    series = tmp_path / "series"
    series.mkdir()
    for z in range(3):
        np.save(series / f"{z}.npy", np.full((4, 4), z / 10, np.float32))

    load = Compose([Lambdad("image", _stack), Lambdad("label", _stack), EnsureTyped("label", dtype=torch.uint8)])
    data = [{"image": str(series), "label": str(series)}]
    assert float(CachedSlices(data, load, tmp_path / "cache")[1]["image"].max()) == pytest.approx(0.1, abs=1e-4)
    np.save(series / "1.npy", np.full((4, 4), 0.9, np.float32))
    assert float(CachedSlices(data, load, tmp_path / "cache")[1]["image"].max()) == pytest.approx(0.9, abs=1e-4)


def _stack(folder):
    from pathlib import Path

    return torch.from_numpy(np.stack([np.load(file) for file in sorted(Path(folder).iterdir())], axis=-1)[None])


def test_random_part_is_the_seed_s_and_keeps_image_and_label_together(data, tmp_path):
    random = [RandFlipd(["image", "label"], prob=0.5, spatial_axis=1), RandRotated("image", prob=0.5, range_x=0.7)]
    slices = CachedSlices(data, transform(random=random), tmp_path / "cache")
    plain = CachedSlices(data, transform(), tmp_path / "cache")

    def epoch(seed, dataset=slices):
        set_rnd(dataset, seed)
        return torch.stack([item["image"] for item in (dataset[k] for k in range(8))])

    assert torch.equal(epoch(5), epoch(5)) and not torch.equal(epoch(5), epoch(6))
    assert not torch.equal(epoch(5), epoch(5, plain))
    flips = CachedSlices(data, transform(random=random[:1]), tmp_path / "cache", channels="neighbours")
    set_rnd(flips, 3)
    flipped = 0
    for k in range(8):
        item, original = flips[k], CachedSlices.__getitem__(plain, k)
        turned = not torch.equal(item["image"][1], original["image"][1])
        flipped += turned
        expected = original["label"].flip(2) if turned else original["label"]
        assert torch.equal(torch.as_tensor(item["label"]), expected)
    assert 0 < flipped < 8


def test_workers_give_the_same_slices(data, tmp_path):
    slices = CachedSlices(data, transform(), tmp_path / "cache")
    alone, together = (list(DataLoader(slices, batch_size=3, num_workers=workers)) for workers in (0, 2))
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(alone, together, strict=True))


def test_damaged_volumes_are_all_named_before_training(data, tmp_path):
    for number in (0, 2):
        with open(data[number]["image"], "r+b") as file:
            file.truncate(40)
    with pytest.raises(DataError) as error:
        CachedSlices(data, transform(), tmp_path / "cache")
    assert "2 of 3 volumes cannot be used" in str(error.value)
    assert "image0.nii.gz" in str(error.value) and "image2.nii.gz" in str(error.value)


def test_what_is_no_volume_of_0_to_1_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="image runs from .*; only 0 to 1 can be cached"):
        CachedSlices(data, Compose([*transform().transforms[:2]]), tmp_path / "cache")
    flat = Compose([*transform().transforms, Lambdad("image", _first_slice)])
    with pytest.raises(ValueError, match=r"image is of shape \(1, 6, 5\) after"):
        CachedSlices(data, flat, tmp_path / "other")


def _first_slice(image):
    return image[..., 0]
