"""Patients divided over training, validation and test."""

from __future__ import annotations

import pandas as pd
import pytest

from pipelines.manifests.splits import split_patients


def test_split_keeps_patients_together_and_strata_alike():
    patients = [f"p{number // 2}" for number in range(400)]  # two images each
    strata = ["rare" if number // 2 % 10 == 0 else "common" for number in range(400)]
    split_of = split_patients(patients, strata, (0.7, 0.15, 0.15), seed=1)
    table = pd.DataFrame({"patient": sorted(split_of), "split": [split_of[p] for p in sorted(split_of)]})
    assert table["split"].value_counts().to_dict() == {"training": 140, "validation": 30, "test": 30}
    rare = table[table["patient"].isin([f"p{n}" for n in range(0, 200, 10)])]
    assert rare["split"].value_counts().to_dict() == {"training": 14, "validation": 3, "test": 3}
    assert split_of == split_patients(patients[::-1], strata[::-1], (0.7, 0.15, 0.15), seed=1)
    assert split_of != split_patients(patients, strata, (0.7, 0.15, 0.15), seed=2)
    with pytest.raises(ValueError, match="add up to 1"):
        split_patients(patients, strata, (0.7, 0.7, 0.1), seed=1)
