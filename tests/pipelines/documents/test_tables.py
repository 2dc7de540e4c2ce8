"""Tables of a model card: by group, and of what was tried."""

from __future__ import annotations

from pipelines.documents.tables import by_group, number, tried, words
from pipelines.evaluation.binary_metrics import AUC


def found(mean, low=None, high=None, cases=50, patients=40):
    return {"mean": mean, "low": low, "high": high, "cases": cases, "patients": patients}


def column(title, groups=(), folds=()):
    metrics = {"dice_by_image_over_positives": 0.5}
    made = {"title": title, "metrics": metrics, "means_by_case": {"dice": found(0.5), "iou": found(0.4)}}
    return made | {"groups": list(groups), "folds": list(folds)}


def group(by, value, interval, **intervals):
    return {"by": by, "value": value, **interval, "intervals": intervals}


def test_groups_and_folds_of_the_columns_that_have_any():
    view = group("view", "AP", found(0.6, 0.5, 0.7), **{AUC: found(0.8, 0.7, 0.9, 20, 18)})
    few = group("view", "PA", found(0.3, 0.2, 0.4, 12, 10))
    fold = group("fold", "0", found(0.55))
    columns = [column("a", [view]), column("b"), column("c", [few], [fold])]
    assert by_group(columns, None) == [
        "",
        "Dice by image over positives, by group; cases of patients:",
        "",
        "| | a | c |",
        "| --- | --- | --- |",
        "| view: PA | | 0.300 (0.200 to 0.400) †, 12 of 10 |",
        "| view: AP | 0.600 (0.500 to 0.700), 50 of 40 | |",
        "| fold: 0 | | 0.550, 50 of 40 |",
    ]
    assert by_group(columns, AUC)[1:] == [
        "image ROC AUC over all, by group; cases of patients:",
        "",
        "| | a |",
        "| --- | --- |",
        "| view: AP | 0.800 (0.700 to 0.900) †, 20 of 18 |",
    ]
    assert by_group([column("b")], None) == by_group([column("b")], AUC) == []


def test_groups_stay_together_and_folds_come_last():
    sex = [group("sex", value, found(0.5)) for value in ("F", "M")]
    young = group("age", "under 18", found(0.5))
    old = group("age", "65 and over", found(0.5))
    fold = group("fold", "0", found(0.5))
    lines = by_group([column("a", [sex[0], old]), column("b", [*sex, young, old], [fold]), column("c", [young])], None)
    names = [line.split(" | ")[0][2:] for line in lines if ": " in line and line.startswith("| ")]
    assert names == ["sex: F", "sex: M", "age: under 18", "age: 65 and over", "fold: 0"]


def compared(first, second, difference, **more):
    return {"first": found(first), "second": found(second), "difference": difference, **more}


def test_what_was_tried_is_a_row_each_with_its_commands():
    told = {"data": "here", "split": "by patient", "manifest": "a" * 64, "date": "2026-01-02"}
    told |= {"command": "second", "command_against": "first"}
    dice = compared(0.5, 0.52, found(0.02, -0.01, 0.05, 77, 57), p=0.2)
    one = {"title": "`x`", "against": "as it is", "metrics": {"dice": dice}, **told}
    area = compared(0.8, 0.79, found(-0.01, None, None, 20, 18))
    two = {"title": "`y`", "against": "`x`", "metrics": {"dice": dice, AUC: area}, **told}
    lines = tried([one, two], [column("a")])
    head = (
        "| tried | against | cases of patients | Dice by image over positives | difference | p | image ROC AUC over all"
    )
    assert f"{head} | difference |" in lines
    row = "77 of 57 | 0.520, not 0.500 | +0.0200 (-0.0100 to +0.0500) | 0.2000 |"
    assert f"| `x` | as it is | {row} | |" in lines
    assert f"| `y` | `x` | {row} 0.790, not 0.800 | -0.0100 † |" in lines
    made = "data here, by patient; manifest aaaaaaaaaaaa; 2026-01-02; `second`; against `first`"
    assert lines[-2:] == [f"- `x`, against as it is: {made}", f"- `y`, against `x`: {made}"]
    assert tried([], [column("a")]) == []


def test_how_figures_and_names_are_written():
    assert [number(value) for value in (None, 0.12345, 1.0, -0.5, 12.345)] == ["", "0.123", "1.000", "-0.500", "12.35"]
    assert words("dice_mean_of_organs_by_case") == "Dice mean of organs by case"
    assert words("roc_auc_iou") == "ROC AUC IoU"
