"""The CLAIM checklist: all its items by their numbers, filled in where the program knows, else left to the author."""

from __future__ import annotations

import pytest

from pipelines.documents.claim import ITEMS, checklist
from pipelines.manifests.manifest import read_manifest
from tests.running import BUNDLES, bundle_of

# Numbers of items of the 2024 update, by a word of their heading
NUMBERS = {
    7: "sources",
    14: "Definition",
    20: "disjoint",
    22: "model",
    29: "uncertainty",
    33: "external",
    44: "funding",
}


def filled(name, manifest, trained_on="elsewhere", **more):
    result = {
        **{"trained_on": trained_on, "data": manifest["name"], "split": "test", "weights": "1, weights abc"},
        **{"command": "python -m pipelines report", "cases": 6, "patients": 5, "evaluated": {}, "groups": []},
        **{"in_sample": None, "trained_images": None},
        **{"metrics": {"dice": 0.5, "iou": None}, "means_by_case": {"dice": {"mean": 0.5, "low": 0.4, "high": 0.6}}},
    }
    items = checklist(bundle_of(name), [], {"settings": {"image_size": 64}}, manifest, result | more)
    return {item.number: item for item in items}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_item_is_answered_or_left_to_the_author(name, cohort):
    items = filled(name, read_manifest(cohort / "manifest.json"))
    assert list(items) == list(range(1, 45)) and len(ITEMS) == 44
    assert all(item.answer or item.left for item in items.values())
    assert all(word in items[number].heading for number, word in NUMBERS.items())
    network = bundle_of(name).read(["train"])["network_def"]["network"]["_target_"]
    assert items[22].answer.startswith(network)


def test_what_the_program_knows(cohort):
    manifest = read_manifest(cohort / "manifest.json")
    items = filled("pneumonia", manifest)
    assert manifest["source"] in items[7].answer and "image size 64" in items[9].answer
    assert "boxes" in items[14].answer and f"training: {len(manifest['training'])} of" in items[19].answer
    assert manifest["split"] in items[20].answer and not items[20].answer.startswith("Patient")
    assert "load_encoder" in items[24].answer and "DiceFocalLoss" in items[25].answer
    assert "Not defined here: iou" in items[12].answer and "0.500 (0.400 to 0.600)" in items[37].answer


def test_whether_data_are_external_is_never_claimed(cohort):
    manifest = read_manifest(cohort / "manifest.json")
    elsewhere, home = filled("lungs", manifest), filled("lungs", manifest, manifest["name"])
    assert (elsewhere[32].answer, home[33].answer) == ("", "") and home[32].answer
    assert elsewhere[33].answer.endswith(
        f"on one named {manifest['name']}; whether they have images in common is not known."
    )
    assert all(items[33].left for items in (elsewhere, home))
    assert filled("lungs", manifest, "unknown")[33].answer == ""
