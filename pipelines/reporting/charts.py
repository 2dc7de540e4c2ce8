"""The charts of a report, each with its title in words, readable in grey and by the colour-blind."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .intervals import Interval

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.55"  # of Okabe and Ito; as grey, one is darker
DPI = 110
IN_SAMPLE = "In-sample: what calibrate fitted, it fitted to images that are measured here."


@dataclass(frozen=True)
class Chart:
    """A picture of the page.

    Attributes:
        title: above it.
        text: what it shows, for those who do not see it too.
        png: the picture.
        wide: whether it needs the page's whole width.
    """

    title: str
    text: str
    png: bytes
    wide: bool = False

    @property
    def source(self) -> str:
        """As a page's picture can hold it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def chart(title: str, text: str, figure: Figure, wide: bool = False) -> Chart:
    """A figure as a picture of the page."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, format="png")
    return Chart(title, text, stream.getvalue(), wide)


def distribution(values: pd.Series, name: str) -> Chart:
    """How a metric is spread over the cases."""
    figure, axis = _empty(5, 3.2)
    low, median = np.nanpercentile(values, [5, 50])
    axis.hist(values.dropna(), bins=40, range=(0, 1), color=BLUE, alpha=0.75)
    for place, style, label in ((median, "-", "median"), (low, "--", "5th percentile")):
        axis.axvline(place, color=ORANGE, linestyle=style, label=f"{label} {place:.3f}")
    axis.set(xlabel=name, ylabel="cases")
    axis.legend(fontsize=8)
    text = f"{values.notna().sum()} cases: median {median:.3f}, 5th percentile {low:.3f}, least {values.min():.3f}."
    return chart(f"{name}, by case", text, figure)


def curve(
    title: str, x: npt.ArrayLike, y: npt.ArrayLike, labels: tuple[str, str], text: str, chance: bool = False
) -> Chart:
    """One curve, from 0 to 1 upwards."""
    figure, axis = _empty(3.9, 3.6)
    axis.plot(x, y, color=BLUE, linewidth=2)
    if chance:
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axis.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, 1.02))
    return chart(title, text, figure)


def thresholds(tables: Sequence[tuple[str, pd.DataFrame]], chosen: float, column: str) -> Chart:
    """A metric against the threshold, for each split."""
    figure, axis = _empty(5, 3.2)
    for (name, table), colour, style in zip(tables, (BLUE, ORANGE), ("-", "--"), strict=False):
        axis.plot(table.index, table[column], color=colour, linestyle=style, linewidth=2, label=name)
    axis.axvline(chosen, color=GREY, linewidth=1, label=f"in use: {chosen:.2f}")
    words = column.replace("_", " ")
    axis.set(xlabel="threshold", ylabel=words, ylim=(0, 1.02))
    axis.legend(fontsize=8)
    best = "; ".join(f"{name}: best {t[column].max():.3f} at {t[column].idxmax():.2f}" for name, t in tables)
    return chart(f"Threshold and {words}", f"{best}. In use: {chosen:.2f}.", figure)


def reliability_diagram(tables: Sequence[tuple[str, pd.DataFrame]], in_sample: bool = False) -> Chart:
    """How often pixels of a probability are inside; of one that can be trusted, as often as it says."""
    figure, axis = _empty(3.9, 3.6)
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for (name, table), colour, marker in zip(tables, (BLUE, ORANGE), ("o", "s"), strict=False):
        axis.plot(table["probability"], table["inside"], color=colour, marker=marker, markersize=4, label=name)
    axis.set(xlabel="probability that the model gives", ylabel="share of pixels inside", xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=8)
    text = "Below the dotted line the model is surer than it should be."
    return chart("Calibration", f"{text}{f' {IN_SAMPLE}' if in_sample else ''}", figure)


def predicted_against_true(table: pd.DataFrame, found: dict[str, Any], in_sample: bool = False) -> Chart:
    """Each case's true Dice against what was predicted of it, see :mod:`pipelines.calibration.coverage`."""
    inside = table[~table["outside"]]
    figure, axis = _empty(5, 4)
    least = np.floor(10 * table[["dice", "predicted", "low"]].min(axis=None)) / 10
    axis.plot([least, 1], [least, 1], color=GREY, linestyle=":", linewidth=1)
    axis.vlines(inside["predicted"], inside["low"], inside["high"], color=GREY, linewidth=1, alpha=0.6)
    axis.plot(inside["predicted"], inside["dice"], "o", color=BLUE, markersize=4, label="inside what the fit knows")
    outside = table["dice"][table["outside"]]
    axis.plot([least] * len(outside), outside, "s", color=ORANGE, markersize=4, label="outside: no number")
    axis.set(xlabel="predicted Dice, with its interval upwards", ylabel="true Dice", xlim=(least - 0.02, 1.02))
    axis.set_ylim(least - 0.02, 1.02)
    axis.legend(fontsize=8, loc="lower right")
    text = f"{found['cases']} cases with a truth; {found['outside_share']:.0%} are outside what the fit knows"
    if found["coverage"] is not None:
        low, high = found["coverage_interval"]
        text += f"; of the others {found['coverage']:.0%} ({low:.0%} to {high:.0%}) have a Dice in their interval, of "
        text += f"which {found['level']:.0%} is claimed; mean width {found['mean_width']:.3f}"
    if found["auc"] is not None:
        text += f". AUC {found['auc']:.2f} of finding the {found['poor_cases']} masks below {found['poor_below']:.3f}"
        text += ", those outside first"
    title = f"Predicted and true Dice{', in-sample' if in_sample else ''}"
    return chart(title, f"{text}.{f' {IN_SAMPLE}' if in_sample else ''}", figure)


def forest(rows: Sequence[tuple[str, str, Interval]], whole: Interval, name: str) -> Chart:
    """A metric with its interval, group by group."""
    figure, axis = _empty(9, 0.9 + 0.28 * len(rows))
    axis.axvspan(whole.low, whole.high, color=GREY, alpha=0.25, linewidth=0)
    axis.axvline(whole.mean, color=GREY, linewidth=1)
    for place, (_, _, interval) in enumerate(rows):
        colour = BLUE if interval.is_sure else GREY
        if not np.isnan(interval.low):
            axis.plot([interval.low, interval.high], [place, place], color=colour, linewidth=2)
        axis.plot(interval.mean, place, "o", color=colour, markersize=5)
    labels = [f"{group}: {value} ({interval.cases})" for group, value, interval in rows]
    axis.set_yticks(range(len(rows)), labels, fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel=f"{name}; grey: all cases, and groups of too few patients")
    text = "; ".join(f"{group} {value}: {interval}" for group, value, interval in rows)
    return chart(f"{name} of groups", text, figure, wide=True)


def _empty(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis
