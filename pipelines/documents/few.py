"""What of groups of patients is told in a card, which is passed on: nothing by which a handful of them is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FEWEST = 5  # patients that a figure stands for


def without_few(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what stands for fewer than :data:`FEWEST` patients.

    With it goes the next larger group of the same kind, until what is left out has that many patients: else its figure
    would follow from those of the others and of all.

    Args:
        groups: each with ``by``, ``value``, ``patients``, and maybe ``intervals`` of other metrics by name, each with
            its own ``patients``.
    """
    kept = [dict(group) for group in _enough(groups, groups)]
    for name in {name for group in kept for name in group.get("intervals", {})}:
        having = [group for group in kept if name in group["intervals"]]
        told = _enough(having, [group["intervals"][name] for group in having])
        for group in having:
            if group not in told:
                group["intervals"] = {key: value for key, value in group["intervals"].items() if key != name}
    return kept


def _enough(groups: Sequence[Any], counts: Iterable[Mapping[str, Any]]) -> list[Any]:
    kept = []
    pairs = list(zip(groups, (found["patients"] for found in counts), strict=True))
    for by in dict.fromkeys(group["by"] for group in groups):
        own = sorted((pair for pair in pairs if pair[0]["by"] == by), key=lambda pair: pair[1])
        hidden = 0
        while own and (own[0][1] < FEWEST or 0 < hidden < FEWEST):
            hidden += own.pop(0)[1]
        kept += [group for group, _ in own]
    return [group for group in groups if group in kept]
