"""An evaluation read again: bundles of one class, and of several."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.reporting.measured import Measured


def test_of_several_classes(tmp_path):
    row = {"patient": [0, 1], "dice_mean_of_organs": [0.5, 0.7], "dice_liver": [0.6, 0.8], "voxels_liver": [5, 6]}
    pd.DataFrame(row).rename_axis("case").to_csv(tmp_path / "cases.csv")
    (tmp_path / "metrics.json").write_text(json.dumps({"cases": 2, "x": None}))
    found = Measured.read(tmp_path)
    assert found.key == "dice_mean_of_organs" and found.by_case == ["dice_mean_of_organs", "dice_liver"]
    assert found.marked is None and found.pixels is None and found.boxes is None and found.metrics["x"] is None


def test_overlap_is_of_cases_that_the_truth_marks(tmp_path):
    row = {"patient": [0, 1], "tp": [3, 0], "fn": [1, 0], "dice": [0.5, 0.0], "iou": [0.3, 0.0], "score": [0.9, 0.8]}
    pd.DataFrame(row).rename_axis("case").to_csv(tmp_path / "images.csv")
    (tmp_path / "metrics.json").write_text("{}")
    values = Measured.read(tmp_path).values
    assert values["dice"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True) and list(values) == ["dice", "iou"]


def test_cases_that_count_in_nothing_are_passed_over_and_counted(tmp_path):
    row = {"patient": [0, 1, 2], "tp": [3, 1, 2], "fn": [1, 9, 0], "dice": [0.5, 0.1, 0.9]}
    table = pd.DataFrame(row).assign(behind_heart=[False, True, False])
    table.rename_axis("case").to_csv(tmp_path / "images.csv")
    (tmp_path / "metrics.json").write_text(json.dumps({"evaluated": {"left_out": 1}}))
    found = Measured.read(tmp_path)
    assert found.left_out == 1 and found.values["dice"].to_dict() == {0: 0.5, 2: 0.9}
