"""Which charts a report of one class has, by what there is to show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.pixels import count_pixels, gather
from pipelines.reporting.binary_charts import binary_charts
from pipelines.reporting.measured import Measured


@pytest.fixture
def measured(tmp_path):
    draw = np.random.default_rng(0)
    probabilities, truths = draw.random((6, 20, 20)), draw.random((6, 20, 20)) < 0.3
    truths[:3] = False
    cases = pd.DataFrame({"tp": truths.sum((1, 2)), "fn": 0, "score": probabilities.max((1, 2)), "dice": 0.5})
    pixels = gather([count_pixels(*pair) for pair in zip(probabilities, truths, strict=True)])
    boxes = {"found": [[(0.9, (0, 0, 4, 4))]] * 6, "truth": [[(0, 0, 4, 4)]] * 6}
    return Measured(tmp_path, cases, {}, pixels, boxes)


def test_all_of_them(measured):
    charts = {chart.title: chart.text for chart in binary_charts(measured, measured, 0.5, 1.5)}
    assert len(charts) == 6
    area = roc_auc_score([0, 0, 0, 1, 1, 1], measured.cases["score"])
    assert f"Area {area:.3f}" in charts["ROC: which images have a finding"]
    assert "validation, which thresholds are chosen on: best" in charts["Threshold and dice by image over positives"]
    assert "At one false box an image: not reached; at most 1.00." in charts["Free-response ROC: which boxes are found"]


def test_where_there_is_less(measured, tmp_path):
    less = Measured(tmp_path, measured.cases.assign(tp=5), {}, None, None)
    assert binary_charts(less, None, 0.5, None) == []
