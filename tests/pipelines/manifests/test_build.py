"""What all builders of manifests share: checks, the split, the file, and the table at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.manifests.build import ManifestBuild, Used, patients_of, pseudonym, read_table
from pipelines.manifests.manifest import read_manifest
from pipelines.manifests.splits import SPLITS
from transforms import DataError


def start(root, **settings):
    """A build for a fifth bundle, whose task no file of the project names."""
    usual = {"folder": root, "out": root / "m.json", "holds": "images", "fractions": (0.5, 0.25, 0.25), "seed": 1}
    head = {"name": "test", "task": "effusion", "source": "drawn", "licence": "none"}
    return ManifestBuild(**usual | head | settings)


def read(path: Path, number: int) -> Used:
    """Eight images of 10 slices, the last two of one patient, every other one with two boxes; further ones are bad."""
    if number >= 8:
        raise DataError(f"{path}: is {'damaged' if number < 12 else f'of {number} pixels'}. Copy it again.")
    boxes = [[0, 0, 1, 1]] * 2 if number % 2 else []
    return Used(
        {"image": path, "boxes": boxes, "class": "a"}, f"p{min(number, 6)}", {"slices": 10, "sex": "FM"[number // 6]}
    )


def test_manifest_and_table(tmp_path, caplog):
    build = start(tmp_path)
    build.leave_out("annotation 7", "it is of no image")
    with caplog.at_level("INFO"):
        build.read(read, {tmp_path / "images" / f"{number}.png": (number,) for number in range(13)})
        manifest = build.write()
    assert read_manifest(tmp_path / "m.json") == manifest
    assert (manifest["task"], manifest["seed"]) == ("effusion", 1)
    assert manifest["split"] == "by patient, 0.5 / 0.25 / 0.25, stratified by class and boxes"
    entries = {entry["image"]: entry for split in SPLITS for entry in manifest[split]}
    assert sorted(entries) == [f"images/{number}.png" for number in range(8)]
    patients = [entries[f"images/{number}.png"]["patient_id"] for number in range(8)]
    assert len(set(patients)) == 7 and patients[6] == patients[7] and not {"p0", "p6"} & set(patients)
    table, left_out = caplog.messages[-1].split("\n\n")
    totals = {" ".join(line.split()[:-4]): line.split()[-1] for line in table.splitlines()[1:]}
    assert totals == {
        "images": "8",
        "patients": "7",
        "positives": "4",
        "boxes": "8",
        "class: a": "8",
        "slices": "80",
        "sex: F": "6",
        "sex: M": "2",
    }
    assert left_out.splitlines() == [
        "used 8, left out 6",
        "     4  images/8.png, images/9.png, images/10.png, ...: is damaged. Copy it again.",
        "     1  annotation 7: it is of no image",
        "     1  images/12.png: is of 12 pixels. Copy it again.",
    ]


def test_masks_may_be_several_and_one_stratum_is_not_spoken_of(tmp_path):
    build = start(tmp_path, by="image")
    for number in range(4):
        label = [tmp_path / "a.png", tmp_path / "b.png"] if number else tmp_path / "a.png"
        build.used.append(Used({"image": tmp_path / f"{number}.png", "label": label}, str(number)))
    manifest = build.write()
    assert manifest["split"] == "by image, 0.5 / 0.25 / 0.25"
    assert [len(manifest[split]) for split in SPLITS] == [2, 1, 1]
    labels = {entry["image"]: entry["label"] for split in SPLITS for entry in manifest[split]}
    assert labels == {"0.png": "a.png"} | {f"{number}.png": ["a.png", "b.png"] for number in (1, 2, 3)}


def test_many_reasons_are_counted(tmp_path, caplog):
    build = start(tmp_path)
    build.used.append(Used({"image": tmp_path / "0.png", "boxes": []}, "p"))
    for number in range(30):
        build.leave_out(tmp_path / f"{number}.png", f"it is of {number} pixels")
    with caplog.at_level("INFO"):
        build.write()
    assert caplog.text.splitlines()[-2:] == ["     1  19.png: it is of 19 pixels", "    10  more, for 10 other reasons"]


def test_nothing_that_can_be_used(tmp_path):
    with pytest.raises(DataError, match="no image can be used. The folder must hold images.$"):
        start(tmp_path).write()
    build = start(tmp_path)
    build.read(read, {tmp_path / "x.png": (9,), tmp_path / "y.png": (9,)})
    message = r"\(2 left out, the first: x.png: is damaged. Copy it again\). The folder must hold images.$"
    with pytest.raises(DataError, match=message):
        build.write()
    assert not (tmp_path / "m.json").exists()


def test_wrong_settings_are_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for settings, message in (
        ({"fractions": (0.8, 0.1, 0.2)}, "must be three, none negative, that add up to 1"),
        ({"out": tmp_path / "file" / "m.json"}, "cannot be written to"),
        ({"folder": tmp_path / "gone"}, "gone: no such folder. Give one that holds images."),
        ({"task": "pleural effusion"}, "the task 'pleural effusion' must be .* letters, digits, '_' and '-' only"),
        ({"task": ""}, "the task ''"),
    ):
        with pytest.raises(DataError, match=message):
            start(tmp_path, **settings)


def test_patients_by_a_table(tmp_path, caplog):
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\n1,p\n2,p\n")
    with caplog.at_level("INFO"):
        assert patients_of(["1", "2", "3"], table) == {"1": "p", "2": "p", "3": "3"}
    assert "1 of 3 images are each taken as the only one of their patient" in caplog.text
    for text, message in (
        ("image,person\n1,p\n", "has no column patient; it has image, person"),
        ("image,patient\n1,p\n2,\n", "line 3 has no patient"),
        ("image,patient\n1,p\n1,q\n", "names 1 twice"),
        ("image,patient\n1,p\n2.png,p\n", "1 of its 2 images are not in the folder, the first: 2.png"),
    ):
        table.write_text(text)
        with pytest.raises(DataError, match=f"patients.csv: .*{message}"):
            patients_of(["1", "2", "3"], table)


def test_table_that_is_missing_or_none(tmp_path):
    with pytest.raises(DataError, match="gone.csv: no such file. It must be a CSV table with the columns a, b."):
        read_table(tmp_path / "gone.csv", ["a"], ["b"])
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(DataError, match="t.csv: cannot be read as a CSV table"):
        read_table(tmp_path / "t.csv", ["a"])
    (tmp_path / "t.csv").write_text("a,b\n007,\n")
    assert read_table(tmp_path / "t.csv", ["a"], ["b"])["a"].tolist() == ["007"]


def test_pseudonym_hides_and_separates():
    assert "4711" not in pseudonym("4711", "salt") and pseudonym("4711", "salt") != pseudonym("4711", "pepper")
    assert pseudonym("a", "salt") != pseudonym("b", "salt")
