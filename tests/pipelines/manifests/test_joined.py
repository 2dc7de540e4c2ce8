"""Manifests of several data sets in one."""

from __future__ import annotations

import json

import pytest

from pipelines.__main__ import main
from pipelines.manifests.joined import join_manifests
from pipelines.manifests.manifest import datalist, read_manifest, write_manifest
from pipelines.manifests.splits import SPLITS
from transforms import DataError


def part(folder, task="lungs", label="masks/a.png", **more):
    """A data set of three patients, one a split."""
    for name in ("a.png", "masks/a.png", *(f"{split}.png" for split in SPLITS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    entry = {"label": label, **more}
    head = {"manifest_version": 1, "name": folder.name, "task": task, "source": f"of {folder.name}", "licence": "free"}
    head |= {"seed": 3, "split": "by hand"}
    lists = {split: [{"image": f"{split}.png", **entry, "patient_id": f"{folder.name} {split}"}] for split in SPLITS}
    write_manifest({**head, **lists}, folder.with_suffix(".json"))
    return f"{folder.name}={folder.with_suffix('.json')}"


def test_each_patient_keeps_the_split_and_each_file_is_found(tmp_path):
    parts = [part(tmp_path / "here", behind_heart=True), part(tmp_path / "there", label=["masks/a.png", "a.png"])]
    assert (
        main(["manifest", "join", str(tmp_path), "--parts", *parts, "--name", "both", "--out", f"{tmp_path}/m.json"])
        == 0
    )
    joined = read_manifest(tmp_path / "m.json")
    assert joined["source"] == "of here; of there" and joined["licence"] == "free" and joined["name"] == "both"
    for split in SPLITS:
        assert [entry["patient_id"] for entry in joined[split]] == [f"here {split}", f"there {split}"]
        first, second = datalist(tmp_path / "m.json", tmp_path, split, task="lungs")
        assert first == {
            "image": f"{tmp_path}/here/{split}.png",
            "label": f"{tmp_path}/here/masks/a.png",
            "behind_heart": True,
        }
        assert second["label"] == [f"{tmp_path}/there/masks/a.png", f"{tmp_path}/there/a.png"]


def test_a_patient_of_two_splits_is_found_when_it_is_read(tmp_path):
    parts = [part(tmp_path / "here"), part(tmp_path / "there")]
    text = json.loads((tmp_path / "there.json").read_text())
    text["test"][0]["patient_id"] = "here training"
    (tmp_path / "there.json").write_text(json.dumps(text))
    join_manifests(tmp_path, parts, "both", tmp_path / "m.json")
    with pytest.raises(DataError, match=r"the patient of test\[1\] is in training too"):
        read_manifest(tmp_path / "m.json")


def test_what_cannot_be_joined_is_named(tmp_path):
    here, there = part(tmp_path / "here"), part(tmp_path / "there", task="opacity")
    (tmp_path / "link").symlink_to(tmp_path / "here")
    for parts, message in (
        ([here, there], "for different tasks: lungs, opacity"),
        ([here, here], "--parts here: is the folder of here"),
        ([here, f"./{here}"], "--parts ./here: is the folder of here, or one is in the other"),
        ([here, here.replace("=", "/=")], "--parts here/: is the folder of here"),
        ([here, here.replace("=", "/masks=")], "--parts here/masks: is the folder of here, or one is in the other"),
        ([here, here.replace("here=", "link=", 1)], "--parts link: is the folder of here"),
        ([here.replace("here=", ".=", 1)], "is not below"),
        ([here.replace("here=", "here/../here=", 1)], "is not below"),
        ([f"{tmp_path}/{here}"], "is not below"),
        (["here"], "--parts here: must be FOLDER=MANIFEST"),
        (["nowhere=here.json"], "--parts nowhere: .* is no folder"),
        (["here=nothing.json"], "nothing.json: no such manifest"),
    ):
        with pytest.raises(DataError, match=message):
            join_manifests(tmp_path, parts, "both", tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def test_an_image_that_two_data_sets_share_is_refused(tmp_path):
    parts = [part(tmp_path / "here"), part(tmp_path / "there")]
    (tmp_path / "there" / "test.png").unlink()
    (tmp_path / "there" / "test.png").symlink_to(tmp_path / "here" / "training.png")
    with pytest.raises(DataError, match=r"there/test.png: is the image of training\[0\] and of test\[1\]"):
        join_manifests(tmp_path, parts, "both", tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()
