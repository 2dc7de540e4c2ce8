"""The page's tables: of one split, and of the folds of a cross-validation."""

from __future__ import annotations

import pandas as pd

from pipelines.reporting.intervals import mean_interval
from pipelines.reporting.measured import Measured
from pipelines.reporting.page import render


def page(folder, **more):
    rows = {"case": [0, 1, 0], "patient": ["000004", "000010", "x"], "tp": [3, 3, 0], "fn": [1, 1, 0], "fp": [0, 0, 0]}
    rows |= {"dice": [0.5, 0.75, 0.0], "score": [0.9, 0.8, 0.7], **more}
    table = pd.DataFrame(rows)
    table = table.rename_axis("case") if "fold" in table else table.set_index("case")
    measured = Measured(folder, table, {"dice": 0.625, "auc": None}, None, None)
    intervals = {"dice": mean_interval(measured.values["dice"], table["patient"])}
    return render(measured, intervals, title="A <title>", summary=[("a", "b")], beware=[], charts=[], claim=[])


def test_cases_have_their_numbers_and_what_is_not_defined_is_empty(tmp_path):
    text = page(tmp_path)
    assert "A &lt;title&gt;" in text and "place in the manifest" in text and '<th scope="col">fold' not in text
    assert '<tr id="case-1"><td>1</td><td>10</td><td>0.75</td>' in text
    assert "<td>x</td><td></td><td>0.7</td>" in text  # no Dice without a truth
    assert '<td class="name">auc</td><td></td>' in text


def test_cases_of_folds_are_numbered_by_their_row(tmp_path):
    text = page(tmp_path, fold=[0, 0, 1])
    assert "row in the table of all folds" in text
    assert '<tr id="case-2"><td>2</td><td>1</td><td>x</td>' in text
