"""Answers that need a look at the figures."""

from __future__ import annotations

import pytest

from pipelines.documents.answers import (
    Known,
    diagnostic,
    external,
    internal,
    level,
    performance,
    selection,
    uncertainty,
    who,
)
from tests.running import bundle_of

CALLS = {"image_roc_auc_over_all": 0.8, "image_sensitivity_over_positives": 0.7}


def known(about=(), **result):
    bundle = bundle_of("lungs")
    return Known(bundle.metadata, bundle.read(["train"]), dict(about), {}, result)


@pytest.mark.parametrize(("specificity", "told"), [(0.25, "image specificity over negatives 0.250."), (None, "")])
def test_calls_of_images_are_told_where_all_are_defined(specificity, told):
    found = diagnostic(known(metrics={**CALLS, "image_specificity_over_negatives": specificity}))
    assert found.endswith(told) and bool(found) == bool(told)


def test_means_without_an_interval_or_a_value():
    value = {"mean": 0.5, "low": None, "high": None}
    assert performance(known(means_by_case={"dice": value})).startswith("Mean dice by case 0.500;")
    assert performance(known(means_by_case={"dice": value | {"mean": None}})) == "See Metrics."


def test_groups_and_the_chosen_epoch():
    group = {"by": "sex", "value": "F", "cases": 3}
    assert who(known(groups=[group])) == "Of the measured cases: sex F: 3 cases." and who(known(groups=[])) == ""
    assert selection(known({"epoch": 7})).endswith("on the validation split (epoch 7).")


def test_uncertainty_of_single_cases_is_told_where_dice_is_predicted():
    assert "for 90%" in uncertainty(known(predicted_dice={"level": 0.9}, in_sample=False))
    assert uncertainty(known(predicted_dice=None)).endswith("see Metrics.")
    assert "in-sample" not in uncertainty(known(predicted_dice={"level": 0.9}, in_sample=False))
    assert uncertainty(known(predicted_dice={"level": 0.9}, in_sample=True)).endswith("figures here are in-sample.")


def found(in_manifest):
    return {"sample": 64, "in_manifest": in_manifest, "measured": 0}


@pytest.mark.parametrize(
    ("trained_on", "images", "home", "away"),
    [
        ("rsna_real", found(64), "its manifest has 64", ""),  # the same images under another name
        ("rsna_real", found(3), "its manifest has 3", ""),
        ("rsna", None, "trained on rsna.", ""),
        ("own, then rsna", found(0), "trained on own, then rsna.", ""),  # fine-tuned
        ("rsna_real", None, "", "in common is not known"),  # a name tells nothing
        ("rsna_real", found(0), "", "none of 64 images trained on"),
        ("unknown", None, "", ""),
    ],
)
def test_images_and_not_names_tell_whether_data_are_of_the_set_trained_on(trained_on, images, home, away):
    told = known(trained_on=trained_on, data="rsna", split="test", trained_images=images)
    for answer, text in ((internal(told), home), (external(told), away)):
        assert text in answer and bool(answer) == bool(text)


def test_the_level_of_splits_is_what_the_manifest_says():
    told = known()._replace(manifest={"split": "by image, 0.8 / 0.1 / 0.1"})
    assert level(told).startswith("The manifest was divided by image, 0.8 / 0.1 / 0.1. Patients are apart as far as")
