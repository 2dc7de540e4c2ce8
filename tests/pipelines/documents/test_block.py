"""The Markdown of a model card's figures: what is in it, and what is not where there is nothing to tell."""

from __future__ import annotations

import pytest

from pipelines.documents.block import block
from pipelines.evaluation.binary_metrics import AUC
from pipelines.evaluation.rsna_score import CHALLENGE
from pipelines.provenance import surroundings


def found(mean, low=None, high=None, cases=57, patients=57):
    return {"mean": mean, "low": low, "high": high, "cases": cases, "patients": patients}


@pytest.fixture
def column():
    return {
        **{"title": "test", "data": "here", "split": "test", "cases": 57, "patients": 57, "trained_on": "there"},
        "command": "command",
        "evaluated": {"weights": "a" * 64, "manifest": "b" * 64, **surroundings()},
        "metrics": {"dice_by_image_over_positives": 0.5, AUC: 0.8, CHALLENGE: 0.2},
        "means_by_case": {"dice": found(0.5, 0.4, 0.6)},
        "calibration": {},
    }


def rows_of(*columns):
    text = block({"columns": list(columns)})
    return {line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith("| ")}


def test_figures_of_whole_images_have_their_interval_where_the_report_has_it(column):
    rows = rows_of(column, column | {"intervals": {AUC: found(0.8, 0.71, 0.88, patients=14), CHALLENGE: found(0.2)}})
    assert rows["image ROC AUC over all"].endswith("| 0.800 | 0.800 (0.710 to 0.880) † |")
    assert rows[CHALLENGE.replace("_", " ")].endswith("| 0.200 | 0.200 |")
    text = block({"columns": [column]})
    assert "whichever are fewer" not in text and "† Fewer" not in text


def test_what_makes_figures_better_than_they_are_is_told_and_nothing_where_there_is_nothing(column):
    clean = {"trained_images": {"sample": 64, "in_manifest": 9, "measured": 0}, "in_sample": False, "left_out": 0}
    assert not any("beware" in row or "left out" in row for row in rows_of(column, column | clean))
    learnt = {"trained_images": {"sample": 64, "in_manifest": 9, "measured": 9}, "in_sample": True, "left_out": 4}
    rows = rows_of(column, column | learnt)
    assert next(line for name, line in rows.items() if "learnt from" in name).endswith("| | 9 of 64 |")
    assert next(line for name, line in rows.items() if "were fitted" in name).endswith("| | in-sample |")
    assert rows["entries left out, as their masks count in what lies behind the heart"].endswith("| | 4 |")


def test_predicted_dice(column):
    predicted = {"cases": 57, "outside_share": 0.125, "level": 0.9, "coverage": 0.94, "coverage_interval": [0.85, 0.99]}
    predicted |= {"mean_width": 0.066, "auc": None, "poor_cases": 0, "poor_below": 0.9}
    rows = rows_of(column, column | {"predicted_dice": predicted})
    assert rows["predicted Dice: share of cases outside what the fit knows"].endswith("| | 12 % |")
    name = "of the others, share in an interval that claims 90 %"
    assert rows[name].endswith("| | 0.940 (0.850 to 0.990) |")
    assert rows["mean width of that interval"].endswith("| | 0.066 |")
    assert "ROC AUC of finding poor masks" not in rows
    none = predicted | {"coverage": None, "coverage_interval": None, "mean_width": None, "auc": 0.7}
    rows = rows_of(column | {"predicted_dice": none})
    assert name not in rows and rows["ROC AUC of finding poor masks"].endswith("| 0.700 (Dice below 0.900) |")


def test_phantoms_are_called_so_before_any_figure(column):
    text = block({"columns": [column | {"data": "phantoms", "title": "test of phantoms"}]})
    assert text.startswith(
        "**test of phantoms: phantoms, drawn by the project**: shows that it runs, nothing about pat"
    )
    assert "phantoms" not in block({"columns": [column]})
