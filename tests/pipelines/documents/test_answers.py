"""Answers that need a look at the figures."""

from __future__ import annotations

import pytest

from pipelines.documents.answers import Known, diagnostic, performance, selection, uncertainty, who
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
    assert "for 90%" in uncertainty(known(predicted_dice={"level": 0.9}))
    assert uncertainty(known(predicted_dice=None)).endswith("see Metrics.")
