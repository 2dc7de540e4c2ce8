"""What a report says first: what it is of, how good the model is, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .intervals import Interval
from .measured import Measured
from .subgroups import Group

WORSE = 0.05  # a group whose mean is below that of all cases by this is named
UNTRUE = 0.05  # an expected calibration error from here on is named


def summary(facts: Mapping[str, Any], measured: Measured, intervals: Mapping[str, Interval]) -> list[tuple[str, str]]:
    """Names and values, of those that are known.

    Args:
        facts: of the model and the data, by name; those that are empty are left out.
        measured: the evaluation.
        intervals: of the means of its metrics by case, and of those of whole images.
    """
    lines = [(name.replace("_", " "), str(value)) for name, value in facts.items() if value != ""]
    if measured.marked is not None:
        lines.append(("cases with a finding", str(int((measured.marked > 0).sum()))))
    lines.append((f"mean {measured.key} by case".replace("_", " "), str(intervals[measured.key])))
    names = (name for name in intervals if name not in measured.by_case)
    return [*lines, *((name.replace("_", " "), str(intervals[name])) for name in names)]


def beware(
    whole: Interval,
    groups: Sequence[Group],
    key: str,
    result: Mapping[str, Any],
) -> list[str]:
    """What figures do not hold, or say too little, a sentence each.

    Args:
        whole: the mean of all cases.
        groups: the means of groups of patients.
        key: the metric that these are of.
        result: ``calibration``, ``predicted_dice``, ``in_sample`` and ``trained_images`` of ``report.json``.
    """
    calibration, predicted, learnt = (result[name] for name in ("calibration", "predicted_dice", "trained_images"))
    lines = []
    if learnt and learnt["measured"]:
        lines.append(
            f"The model learnt from images that are measured here: {learnt['measured']} of {learnt['sample']} that "
            "were looked for. Figures of new images are worse."
        )
    if result["in_sample"]:
        lines.append(
            "What calibrate fitted, it fitted to images that are measured here: figures with the temperature and those "
            "of predicted Dice are in-sample, and too good."
        )
    if not whole.is_sure:
        lines.append(f"Only {whole.patients} patients: the interval may be narrower than it should be.")
    lines += [
        f"{name} {value}: {key} is {interval.mean:.3f} where that of all cases is {whole.mean:.3f}."
        for name, value, interval in groups
        if interval.is_sure and interval.mean < whole.mean - WORSE
    ]
    few = sorted({f"{name} {value}" for name, value, interval in groups if not interval.is_sure})
    if few:
        lines.append(f"Too few patients to say anything of: {', '.join(few)}.")
    error = calibration.get("expected_calibration_error_pooled_over_all", 0)
    if error >= UNTRUE:
        lines.append(f"Probabilities are off by {error:.2f} on average: do not read them as probabilities.")
    high = predicted["coverage_interval"][1] if predicted else None
    if predicted and high is not None and high < predicted["level"]:
        lines.append(
            f"Intervals of predicted Dice claim {predicted['level']:.0%} and hold {predicted['coverage']:.0%}: do not "
            "trust predicted Dice on images like these."
        )
    return lines
