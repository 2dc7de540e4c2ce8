"""The cache: nothing is decoded twice, nothing stale is read, and items are rows of small integers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import (
    Compose,
    Lambdad,
    LoadImaged,
    RandFlipd,
    Resized,
    ScaleIntensityRanged,
    SpatialPadd,
)

from pipelines import CachedDataset
from pipelines.training import cached_dataset
from pipelines.training.cached_dataset import from_16_bits
from tests.conftest import ROOT
from transforms import BoxesToMaskd, DataError, RadiographReader


def transform(size=24, random=()):
    return Compose(
        [
            LoadImaged("image", reader=RadiographReader(), ensure_channel_first=True),
            BoxesToMaskd(),
            Resized(["image", "label"], size, size_mode="longest", mode=["bilinear", "nearest-exact"]),
            SpatialPadd(["image", "label"], (size, size)),
            *random,
        ]
    )


@pytest.fixture
def data(write_dicom):
    rng = np.random.default_rng(0)
    return [
        {
            "image": str(write_dicom((rng.random((30, 50)) * 255).astype(np.uint8), name=f"{n}.dcm")),
            "boxes": [[10, 5, 20, 10]] if n % 2 else [],
        }
        for n in range(5)
    ]


def test_items_are_those_of_the_transforms(data, tmp_path):
    cached = CachedDataset(data, transform(), tmp_path / "cache")
    for index, item in enumerate(data):
        direct = transform()(item)
        image, label = (from_16_bits(cached[index][key]) for key in ("image", "label"))
        torch.testing.assert_close(image, direct["image"].as_tensor(), atol=1e-5, rtol=0)
        assert torch.equal(label, direct["label"].as_tensor())


def test_no_file_is_opened_once_cached(data, tmp_path):
    cached = CachedDataset(data, transform(), tmp_path / "cache")
    first = cached[1]["image"]
    for item in data:
        os.remove(item["image"])
    assert torch.equal(cached[1]["image"], first)
    cached.held = 0  # from disk too
    assert torch.equal(cached[1]["image"], first)


def test_a_second_run_decodes_nothing(data, tmp_path):
    CachedDataset(data, transform(), tmp_path / "cache")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    CachedDataset(data, transform(), tmp_path / "cache")
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}


def test_an_image_that_is_listed_often_is_decoded_once(data, tmp_path, caplog):
    """A manifest may list rare images many times, so that a training sees more of them."""
    often = [data[0], *data[1:], data[0], data[0]]
    with caplog.at_level("INFO"):
        cached = CachedDataset(often, transform(), tmp_path / "cache")
    assert "0 of 5 found" in caplog.text and len(list((tmp_path / "cache").iterdir())) == 5
    assert len(cached) == 7 and torch.equal(cached[6]["image"], cached[0]["image"])
    Path(data[0]["image"]).write_bytes(b"damaged")
    with pytest.raises(DataError, match="^1 of 5 images cannot be used"):
        CachedDataset(often, transform(), tmp_path / "cache")


def test_changed_file_boxes_or_setting_is_noticed(data, tmp_path, write_dicom):
    cached = CachedDataset(data, transform(), tmp_path / "cache")
    write_dicom(np.repeat(np.uint8([[70] * 25 + [77] * 25]), 30, 0), name="1.dcm")  # the same name and size
    again = CachedDataset(data, transform(), tmp_path / "cache")
    assert again.files[1] != cached.files[1] and again.files[0] == cached.files[0]
    assert from_16_bits(again[1]["image"]).max() == pytest.approx(77 / 255, abs=1e-4)
    assert torch.equal(again[0]["image"], cached[0]["image"])
    more = [{**item, "boxes": [[0, 0, 50, 30]]} for item in data]
    assert CachedDataset(more, transform(), tmp_path / "cache")[0]["label"].sum() > 0
    assert CachedDataset(data, transform(16), tmp_path / "cache")[0]["image"].shape == (1, 16, 16)


def test_key_is_the_same_in_another_process(data, tmp_path):
    """With another seed of Python's hashes, as in another run of the program."""
    made = CachedDataset(data, transform(), tmp_path / "cache")
    program = (
        "import json\nfrom pipelines import CachedDataset\n"
        "from tests.pipelines.training.test_cached_dataset import transform\n"
        f"data = json.loads({json.dumps(json.dumps(data))})\n"
        f"cached = CachedDataset(data, transform(), {str(tmp_path / 'cache')!r})\n"
        "print(json.dumps([file.name for file in cached.files]))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [file.name for file in made.files]
    assert len(list((tmp_path / "cache").iterdir())) == len(data)


def test_changed_code_is_noticed_in_subfolders_too(data, tmp_path, monkeypatch):
    code = tmp_path / "transforms" / "readers" / "radiograph.py"
    code.parent.mkdir(parents=True)
    code.write_text("old")
    monkeypatch.setattr("transforms.__file__", str(tmp_path / "transforms" / "__init__.py"))
    before = CachedDataset(data[:1], transform(), tmp_path / "cache").files
    assert CachedDataset(data[:1], transform(), tmp_path / "cache").files == before
    code.write_text("new")
    assert CachedDataset(data[:1], transform(), tmp_path / "cache").files != before


def test_items_are_rows_of_small_integers_that_a_loader_puts_into_batches(data, tmp_path):
    cached = CachedDataset(data, transform(), tmp_path / "cache")
    assert {type(value) for value in cached[2].values()} == {torch.Tensor}
    assert cached[2]["image"].dtype == torch.uint16
    assert cached[2]["image"].data_ptr() == cached.rows["image"][2].data_ptr()  # and no copy
    for workers in (0, 1):
        first, second = DataLoader(cached, batch_size=3, num_workers=workers)
        assert first["image"].shape == (3, 1, 24, 24) and first["image"].dtype == torch.uint16
        assert torch.equal(second["label"][1], cached[4]["label"])


def test_what_memory_does_not_hold_is_read_from_disk(data, tmp_path, monkeypatch):
    whole = CachedDataset(data, transform(), tmp_path / "cache")
    size = sum(value.nbytes for value in whole[0].values())
    monkeypatch.setattr(cached_dataset, "MEMORY_BYTES", 2 * size + 1)
    part = CachedDataset(data, transform(), tmp_path / "cache")
    assert len(part.rows["image"]) == 2
    for index in range(5):
        assert all(torch.equal(part[index][key], whole[index][key]) for key in ("image", "label"))
    part.files[4].unlink()
    with pytest.raises(DataError, match="was removed while the run needed it"):
        part[4]


def test_random_transforms_are_refused(data, tmp_path):
    flips = [RandFlipd(["image", "label"], prob=0.5, spatial_axis=0)]
    with pytest.raises(ValueError, match="RandFlipd is random, and only what does not change can be cached"):
        CachedDataset(data, transform(random=flips), tmp_path / "cache")


def test_items_of_different_shapes_and_what_is_no_tensor_are_refused(data, tmp_path, write_dicom):
    data[3]["image"] = str(write_dicom(np.full((50, 30), np.arange(30), np.uint8), name="tall.dcm"))
    unfitted = Compose(transform().transforms[:3])
    with pytest.raises(ValueError, match=r"image is of shape \(1, 24, 14\) in one item and \(1, 14, 24\) in another"):
        CachedDataset(data, unfitted, tmp_path / "cache")
    named = [{**item, "name": "x"} for item in data]
    with pytest.raises(ValueError, match="name is str after the deterministic transforms"):
        CachedDataset(named, transform(), tmp_path / "other")


def test_damaged_files_are_all_named_before_training(data, tmp_path):
    shutil.copy(__file__, data[1]["image"])
    Path(data[3]["image"]).write_bytes(Path(data[3]["image"]).read_bytes()[:-9])
    with pytest.raises(DataError) as error:
        CachedDataset(data, transform(), tmp_path / "cache")
    assert "2 of 5 images cannot be used" in str(error.value)
    assert "1.dcm: not a DICOM file" in str(error.value) and "3.dcm: was cut short" in str(error.value)


def test_file_that_is_not_the_manifest_s_is_refused(data, tmp_path):
    import hashlib

    sums = [hashlib.sha256(Path(item["image"]).read_bytes()).hexdigest() for item in data]
    good = [{**item, "sha256": checksum} for item, checksum in zip(data, sums, strict=True)]
    assert set(CachedDataset(good, transform(), tmp_path / "cache")[0]) == {"image", "label"}
    good[4]["sha256"] = sums[0]
    with pytest.raises(DataError, match=r"4\.dcm: is not the file that the manifest was made of"):
        CachedDataset(good, transform(), tmp_path / "other")


def test_bad_boxes_are_named_before_training(data, tmp_path):
    data[2]["boxes"] = [[60, 0, 5, 5]]
    with pytest.raises(DataError, match=r"2\.dcm: box .* covers no pixel"):
        CachedDataset(data, transform(), tmp_path / "cache")


def test_values_beyond_0_to_1_are_refused(data, tmp_path):
    scaled = Compose([*transform().transforms, ScaleIntensityRanged("image", 0, 1, 0, 2)])
    with pytest.raises(ValueError, match="image runs from .*; only 0 to 1 can be cached"):
        CachedDataset(data, scaled, tmp_path / "cache")


def test_a_fault_in_a_transform_is_not_taken_for_bad_data(data, tmp_path):
    broken = Compose([*transform().transforms, Lambdad("image", func=_broken)])
    with pytest.raises(RuntimeError):
        CachedDataset(data, broken, tmp_path / "cache")


def _broken(image):
    raise KeyError("a fault of ours")
