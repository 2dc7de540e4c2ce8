"""Charts: what they say in words, and that they are pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.calibration.coverage import coverage
from pipelines.reporting.charts import distribution, forest, predicted_against_true
from pipelines.reporting.intervals import mean_interval


def test_a_chart_is_a_picture_with_words():
    found = distribution(pd.Series([*np.linspace(0, 1, 101), np.nan]), "dice")
    assert found.text == "101 cases: median 0.500, 5th percentile 0.050, least 0.000."
    picture = Image.open(io.BytesIO(base64.b64decode(found.source.partition(",")[2])))
    assert picture.format == "PNG" and picture.width > 400


def test_groups_are_told_in_words():
    values = pd.Series(np.linspace(0.5, 1, 40))
    interval = mean_interval(values, pd.Series(range(40)))
    assert f"sex F: {interval}" in forest([("sex", "F", interval)], interval, "dice").text


def test_predicted_dice_is_told_in_words_even_where_no_case_is_inside():
    table = pd.DataFrame({"dice": [0.9, 0.8, 0.95], "predicted": [0.92, np.nan, 0.94], "outside": [False, True, False]})
    table = table.assign(low=table["predicted"] - 0.05, high=table["predicted"] + 0.05)
    found = predicted_against_true(table, coverage(table, 0.9))
    assert "3 cases with a truth; 33% are outside what the fit knows; of the others 100% (16% to 100%)" in found.text
    none = table[table["outside"]]
    assert predicted_against_true(none, coverage(none, 0.9)).text.endswith("100% are outside what the fit knows.")
