"""How well predicted Dice holds, of a table made by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.__main__ import main
from pipelines.calibration.coverage import coverage, predicted
from tests.conftest import ROOT
from tests.transforms.quality.test_predicted_dice import QUALITY


def test_predictions_stand_beside_the_truth():
    cases = pd.DataFrame({"dice": [0.95, np.nan, 0.9], "expected_dice": [0.98, 0.98, 0.9], "area": [0.25, 0.25, 0.25]})
    table = predicted(cases, QUALITY)
    assert table.index.tolist() == [0, 2] and table["outside"].tolist() == [False, True]
    assert table.loc[0, ["predicted", "low", "high"]].tolist() == pytest.approx([0.96, 0.92, 0.98])
    assert table.loc[2, ["predicted", "low", "high"]].isna().all()


def table(dice, guess, outside=()):
    made = pd.DataFrame({"dice": dice, "predicted": guess})
    made["outside"] = [place in outside for place in range(len(made))]
    made["low"], made["high"] = made["predicted"] - 0.05, made["predicted"] + 0.05
    made.loc[made["outside"], ["predicted", "low", "high"]] = np.nan
    return made


def test_by_hand():
    """Of nine inside, eight hold; six are poor, and of their 24 pairs with good ones 23 are in order."""
    dice = [0.95, 0.94, 0.96, 0.97, 0.80, 0.81, 0.82, 0.83, 0.84, 0.5, 0.93]
    guess = [0.95, 0.94, 0.96, 0.97, 0.80, 0.81, 0.82, 0.83, 0.945, np.nan, 0.93]
    found = coverage(table(dice, guess, outside=[9]), 0.9)
    assert found["cases"] == 11 and found["outside_share"] == pytest.approx(1 / 11)
    assert found["coverage"] == pytest.approx(0.9) and found["mean_width"] == pytest.approx(0.1)
    assert found["coverage_interval"] == pytest.approx([0.555, 0.9975], abs=1e-3)  # Clopper-Pearson, 9 of 10
    assert (found["poor_below"], found["poor_cases"]) == (0.9, 6)
    assert found["auc"] == pytest.approx(28 / 30)
    assert found["mean_dice_outside"] == 0.5


def test_where_nearly_none_is_poor_the_median_divides():
    found = coverage(table([0.95, 0.96, 0.97, 0.98], [0.95, 0.96, 0.97, 0.98]), 0.9)
    assert found["poor_below"] == pytest.approx(0.965) and found["poor_cases"] == 2 and found["auc"] == 1


def test_without_any_case_nothing_is_said():
    found = coverage(predicted(pd.DataFrame({"dice": [np.nan]}), QUALITY), 0.9)
    assert found["cases"] == 0
    assert {found[name] for name in ("coverage", "auc", "outside_share", "poor_below")} == {None}


@pytest.mark.real
@pytest.mark.slow
def test_the_shipped_lungs_know_how_good_they_are(real_data, tmp_path):
    """On the tenth of their data that nothing was fitted to: intervals hold, and worse masks are told from better."""
    manifest, data = str(tmp_path / "manifest.json"), str(real_data / "shenzhen")
    assert main(["manifest", "masks", data, "--task", "lungs", "--name", "shenzhen", "--out", manifest]) == 0
    bundle = ROOT / "bundles" / "lungs"
    given = ["--dataset_dir", data, "--manifest", manifest, "--split", "test", "--output", str(tmp_path)]
    assert main(["evaluate", str(bundle), *given]) == 0
    found = json.loads((tmp_path / "test" / "report.json").read_text())["predicted_dice"]
    assert found["cases"] == 57 and found["coverage"] > 0.8 and found["outside_share"] < 0.15 and found["auc"] > 0.55
