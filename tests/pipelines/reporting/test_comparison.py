"""Two models on the same cases: against SciPy, by hand, and what cannot be compared."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.binary_metrics import AUC
from pipelines.evaluation.rsna_score import CHALLENGE
from pipelines.reporting.comparison import compare, compare_folders, draw_comparison, read_images
from transforms import DataError


def cases(dice, patients=None):
    n = len(dice)
    return pd.DataFrame(
        {"case": range(n), "dice": dice, "tp": 5, "fn": 3, "patient": [str(p) for p in patients or range(n)]}
    )


def test_the_difference_and_its_p_value():
    draw = np.random.default_rng(0)
    a = draw.normal(0.7, 0.1, 50)
    b = a + draw.normal(0.02, 0.05, 50)
    found = compare(cases(a), cases(b))
    assert found.difference.mean == pytest.approx((b - a).mean()) == pytest.approx(found.second.mean - found.first.mean)
    assert found.p == pytest.approx(ttest_rel(a, b).pvalue, abs=0.01)
    assert (found.better, found.worse) == ((b > a).sum(), (b < a).sum())
    assert "difference" in str(found)


def test_all_signs_of_a_few_patients_by_hand():
    """Three patients whose differences are all positive: of the eight ways to exchange, two are as far from 0."""
    found = compare(cases([0.1, 0.2, 0.3]), cases([0.2, 0.4, 0.6]))
    assert found.p == pytest.approx(2 / 8)


def test_cases_of_a_patient_are_exchanged_together():
    found = compare(cases([0.1, 0.2, 0.3, 0.3], [1, 2, 3, 3]), cases([0.2, 0.4, 0.6, 0.6], [1, 2, 3, 3]))
    assert found.p == pytest.approx(2 / 8) and found.difference.patients == 3


def test_cases_without_a_value_are_left_out():
    found = compare(cases([0.1, np.nan, 0.3, 0.5]), cases([0.2, 0.4, np.nan, 0.8]))
    assert found.first.cases == 2 and found.difference.mean == pytest.approx(0.2)


def test_what_cannot_be_compared(tmp_path):
    first = cases([0.1, 0.2])
    for other in (cases([0.1, 0.2, 0.3]), first.assign(tp=6), first.assign(patient="x")):
        with pytest.raises(DataError, match="different cases, folds or truths"):
            compare(first, other)
    with pytest.raises(DataError, match="no case has a value of dice in both"):
        compare(cases([0.1, np.nan]), cases([np.nan, 0.2]))
    with pytest.raises(DataError, match="only one patient has a value"):
        compare(cases([0.1, 0.2], [1, 1]), cases([0.1, 0.2], [1, 1]))
    with pytest.raises(DataError, match=r"images\.csv: no such file"):
        read_images(tmp_path)
    first.to_csv(tmp_path / "images.csv", index=False)
    assert read_images(tmp_path).equals(first)


def test_overlap_is_compared_over_positives_and_shorter_distances_are_better():
    """A negative in which one model marks something has Dice 0, and a clean one none."""
    first, second = (cases([0.5, 0.6, 0.7, other]) for other in (0.0, np.nan))
    for table in (first, second):
        table.loc[3, ["tp", "fn"]] = 0
        table["average_surface_distance_in_mm"] = [3.0, 2.0, 4.0, np.nan]
    found = compare(first, first.assign(dice=first["dice"] + 0.1))
    assert found.first.cases == 3 and found.first.mean == pytest.approx(0.6) and (found.better, found.worse) == (3, 0)
    nearer = first.assign(average_surface_distance_in_mm=first["average_surface_distance_in_mm"] - 1)
    found = compare(first, nearer, "average_surface_distance_in_mm")
    assert (found.better, found.worse) == (3, 0) and found.difference.mean == pytest.approx(-1)
    with pytest.raises(DataError, match=r"dise: no such metric of cases\. Give one of dice"):
        compare(first, first, "dise")


def evaluation(folder, scores, found):
    """Of four images with a box and four without, three of each, a patient each."""
    folder.mkdir()
    scores, found = np.tile(scores, 3), np.tile(found, 3)
    positive = np.arange(24) % 2 == 0
    table = cases(np.where(positive, scores, np.nan))
    table = table.assign(tp=np.where(positive, 5, 0), fn=np.where(positive, 3, 0), score=scores)
    table.to_csv(folder / "images.csv", index=False)
    box = [0, 0, 10, 10]
    boxes = {
        "found": [[[0.9, box]] if hit else [] for hit in found],
        "truth": [[box] if one else [] for one in positive],
    }
    (folder / "boxes.json").write_text(json.dumps(boxes))
    (folder / "metrics.json").write_text(json.dumps({"evaluated": {"box_confidence": 0.5}}))
    return folder


def test_figures_of_whole_images_are_compared_case_by_case(tmp_path):
    positive = np.arange(8) % 2 == 0
    scores = [np.array([0.9, 0.5, 0.3, 0.4, 0.8, 0.1, 0.2, 0.6]), np.array([0.9, 0.1, 0.7, 0.2, 0.8, 0.3, 0.4, 0.6])]
    first = evaluation(tmp_path / "a", scores[0], [1, 1, 0, 0, 0, 0, 0, 0])
    second = evaluation(tmp_path / "b", scores[1], [1, 0, 1, 0, 0, 0, 0, 0])
    found = compare_folders(first, second)
    areas = [roc_auc_score(positive, score) for score in scores]
    assert [found[AUC][name]["mean"] for name in ("first", "second")] == pytest.approx(areas)
    assert found[AUC]["difference"]["mean"] == pytest.approx(areas[1] - areas[0])
    assert found[AUC]["difference"]["low"] < areas[1] - areas[0] < found[AUC]["difference"]["high"]
    # of the first, one of four boxes is found and one is false: 1 / 5; of the second, two of four: 2 / 4
    means = [found[CHALLENGE][name]["mean"] for name in ("first", "second", "difference")]
    assert means == pytest.approx([1 / 5, 2 / 4, 3 / 10])
    dice = [score[positive].mean() for score in scores]
    assert found["dice"]["difference"]["mean"] == pytest.approx(dice[1] - dice[0])
    assert found["dice"]["p"] == compare(read_images(first), read_images(second)).p
    assert list(found) == ["dice", AUC, CHALLENGE]


def test_the_figure_has_a_point_a_case():
    figure = draw_comparison(cases([0.1, 0.2]), cases([0.2, 0.4]), ("old", "new"))
    (points,) = figure.axes[0].collections
    assert points.get_offsets().tolist() == [[0.1, 0.2], [0.2, 0.4]]
