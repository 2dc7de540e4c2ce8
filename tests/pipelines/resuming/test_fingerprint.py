"""What a training depends on is found in its configuration and data, and differences are told by name."""

from __future__ import annotations

import json

import pytest
from monai.bundle import ConfigParser

from pipelines.resuming.fingerprint import (
    configuration,
    differences,
    images,
)
from tests.running import BUNDLES, bundle_of

PROBE = {"_target_": "pipelines.resuming.fingerprint.configuration"}
COUNTS = {
    "image_size": 64,
    "batch_size": 3,
    "accumulation_steps": 5,
    "learning_rate": 0.5,
    "seed": 7,
    "precision": "bfloat16",
    "val_interval": 2,
    "loss#_target_": "TverskyLoss",
    "optimizer#weight_decay": 0.3,
    "network_def#network#norm": "INSTANCE",
    "train#dataloader#shuffle": False,
    "reader#more": 1,
}
HARMLESS = {
    "epochs": 99,
    "patience": 3,
    "num_workers": 2,
    "device": "cuda",
    "compile": True,
    "ckpt_dir": "elsewhere",
    "output_dir": "elsewhere",
    "cache_dir": "elsewhere",
    "dataset_dir": "elsewhere",
    "manifest": "other.json",
    "resume": True,
    "tracking_uri": "what MONAI's experiment management adds",
}


def found(name, overlays=(), **changes):
    """What a component of the bundle's training is told."""
    parser = bundle_of(name).read(["train", *overlays], probe=PROBE, **changes)
    return parser.get_parsed_content("probe")


@pytest.mark.parametrize("name", BUNDLES)
def test_each_value_that_counts_is_told_by_its_key(name):
    before = found(name)
    assert json.loads(json.dumps(before)) == before  # so it can be kept
    for key, value in COUNTS.items():
        assert differences(before, found(name, **{key: value})) == [f"{key}: {before.get(key, 'not set')} -> {value}"]
    settings = bundle_of(name).read(["train"])["settings"]
    assert settings.keys() - {"task"} <= before.keys()  # which the data tell


@pytest.mark.parametrize("name", BUNDLES)
def test_places_length_and_machine_do_not_count(name):
    assert found(name, **HARMLESS) == found(name)


@pytest.mark.parametrize("name", BUNDLES)
def test_augmentation_and_schedule_count(name):
    before = found(name)
    added = [{"_target_": "RandZoomd", "keys": "image"}]
    place = "augmentation" if "augmentation" in bundle_of(name).read(["train"]) else "train#random_transforms"
    assert any(line.startswith(f"{place}#0#_target_: ") for line in differences(before, found(name, **{place: added})))
    (line,) = differences(before, found(name, **{"lr_scheduler#last_epoch": 3}))
    assert line == "lr_scheduler#last_epoch: not set -> 3"


def test_an_overlay_is_told_by_what_it_changes():
    told = differences(found("lungs"), found("lungs", ["bce_iou"]))
    assert "loss#loss#jaccard: not set -> True" in told and all(line.startswith("loss#") for line in told)
    told = differences(found("pneumonia"), found("pneumonia", ["usual_way"]))
    assert len(told) == 11 and told[-1].startswith("and ")


def test_without_a_parser_nothing_is_told():
    assert configuration() == {}


def test_lists_of_values_are_told_whole():
    parser = ConfigParser({"train": {"trainer": {"channels": [4, 8], "size": ["@side", 2]}}, "side": 5, "probe": PROBE})
    told = parser.get_parsed_content("probe")
    assert {key: value for key, value in told.items() if value is not None} == {
        "train#trainer#channels": [4, 8],
        "train#trainer#size": ["@side", 2],
        "side": 5,
    }


def told_of_images(before, now):
    keys = ("training images",)
    return differences(dict.fromkeys(keys, images(before)), dict.fromkeys(keys, images(now)))


@pytest.fixture
def entries(tmp_path):
    """Three images, one of them a series of two files."""
    (tmp_path / "series").mkdir()
    for name, size in (("a.dcm", 10), ("b.dcm", 20), ("series/1", 5), ("series/2", 5)):
        (tmp_path / name).write_bytes(b"x" * size)
    paths = [str(tmp_path / name) for name in ("a.dcm", "b.dcm", "series")]
    return [{"image": path, "boxes": [[1, 2, 3, 4]]} for path in paths]


def test_images_are_the_same_wherever_they_lie(entries, tmp_path):
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    there = [{**entry, "image": str(moved / entry["image"].rpartition("/")[2])} for entry in entries]
    assert images(there) == images(
        [{**entry, "image": entry["image"].replace(str(tmp_path), str(moved))} for entry in entries]
    )
    tmp_path.mkdir()
    for path in moved.iterdir():
        path.rename(tmp_path / path.name)
    assert images(entries) != images(there)  # whose files are gone


def test_other_images_are_counted_and_not_named(entries, tmp_path):
    assert told_of_images(entries, entries) == []
    assert told_of_images(entries, entries[::-1]) == ["training images: in another order"]
    assert told_of_images(entries, entries[:2]) == ["training images: 3 -> 2, 0 of them new or changed, 1 gone"]
    boxes = [entries[0] | {"boxes": []}, *entries[1:]]
    changed = ["training images: 3 -> 3, 1 of them new or changed, 1 gone"]
    assert told_of_images(entries, boxes) == changed
    before = images(entries)
    (tmp_path / "series" / "2").write_bytes(b"x")
    (tmp_path / "a.dcm").write_bytes(b"")
    assert sum(old != new for old, new in zip(before, images(entries), strict=True)) == 2
