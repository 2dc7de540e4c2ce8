"""Manifests: reading, checking, and lists of data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.manifests.manifest import datalist, read_manifest
from pipelines.manifests.rsna_pneumonia import IMAGES
from pipelines.manifests.splits import SPLITS
from transforms import DataError


def test_datalist_has_whole_paths(cohort):
    items = datalist(cohort / "manifest.json", cohort, "training")
    assert all(Path(item["image"]).parent == cohort / IMAGES for item in items)
    assert all(set(item) == {"image", "boxes"} for item in items)


def spoil(cohort, tmp_path, change):
    manifest = json.loads((cohort / "manifest.json").read_text())
    change(manifest)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda m: m.update(manifest_version=2),
            r"spoilt\.json: is not a manifest of version 1: at manifest\.manifest_version",
        ),
        (lambda m: m.update(task="two words"), r"at manifest\.task"),
        (lambda m: m.pop("licence"), "'licence' is a required property"),
        (lambda m: m["training"][0].pop("boxes"), r"at manifest\.training\[0\]"),
        (lambda m: m["test"][0].update(boxes=[[1, 2, 3]]), r"at manifest\.test\[0\]\.boxes\[0\]"),
        (lambda m: m["test"].append(m["training"][0]), r"the patient of test\[\d\] is in training too"),
    ],
)
def test_manifest_of_another_schema(cohort, tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        read_manifest(spoil(cohort, tmp_path, change))


def test_manifest_that_is_missing_or_no_json(tmp_path):
    with pytest.raises(DataError, match="no such manifest.*python -m pipelines manifest KIND"):
        read_manifest(tmp_path / "gone.json")
    (tmp_path / "x.json").write_text("patientId,x,y")
    with pytest.raises(DataError, match="is not JSON"):
        read_manifest(tmp_path / "x.json")


def places(value, way=()):
    """The keys and indices that lead to each value of a manifest; of a list only to its first."""
    yield way
    for key, part in (
        value.items() if isinstance(value, dict) else enumerate(value[:1] if isinstance(value, list) else ())
    ):
        yield from places(part, (*way, key))


@pytest.mark.parametrize("wrong", [None, True, 7, 1e400, "", "\0", [], {}, [[]], "itself", ["itself"]], ids=repr)
def test_a_wrong_type_at_any_level_is_told_and_never_a_stray_error(cohort, tmp_path, wrong):
    """A manifest in a manifest too. What is taken, such as another name, is taken."""
    whole = json.loads((cohort / "manifest.json").read_text())
    wrong = whole if wrong == "itself" else [whole] if wrong == ["itself"] else wrong
    told = []
    for number, way in enumerate(places(whole)):
        manifest = {"": json.loads((cohort / "manifest.json").read_text())}
        place = manifest
        for key in ("", *way[:-1]) if way else ():
            place = place[key]
        place[way[-1] if way else ""] = wrong
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(manifest[""]))
        try:
            for split in SPLITS:
                datalist(path, cohort, split)
        except DataError as error:
            told.append(str(error))
    assert len(told) > 8 and all(text.startswith((str(tmp_path), str(cohort))) for text in told)


@pytest.mark.parametrize("depth", [200, 978, 987, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_lists_and_objects_without_end_are_told(cohort, tmp_path, depth, opening, closing):
    deep = opening * depth + "1" + closing * depth
    text = (cohort / "manifest.json").read_text()
    for number, before in enumerate(('"training": [', '"boxes": [', '"name": ')):
        path = tmp_path / f"{number}.json"
        path.write_text(text.replace(before, f"{before}{deep}, " + ('"more": ' if number == 2 else ""), 1))
        with pytest.raises(DataError, match=f"{number}.json: is not"):
            read_manifest(path)


def test_missing_image_and_empty_split(cohort, tmp_path):
    with pytest.raises(DataError, match=r"gone\.dcm: no such file \(1 of the training files.*--dataset_dir"):
        datalist(spoil(cohort, tmp_path, lambda m: m["training"][0].update(image="gone.dcm")), cohort, "training")

    def no_box(manifest):
        for entry in manifest["validation"]:
            entry["boxes"] = []

    with pytest.raises(DataError, match="no entry of its validation list has a box"):
        datalist(spoil(cohort, tmp_path, no_box), cohort, "validation")
    with pytest.raises(DataError, match="its test list is empty"):
        datalist(spoil(cohort, tmp_path, lambda m: m.update(test=[])), cohort, "test")
