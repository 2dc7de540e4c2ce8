"""The challenge's submission, as the challenge reads it."""

from __future__ import annotations

import pandas as pd

from pipelines.submission import write_submission


def test_submission_is_in_the_challenge_s_format(tmp_path):
    write_submission({"a": [(0.5, (1, 2, 3.5, 4)), (0.25, (5, 6, 7, 8))], "b": []}, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == ("patientId,PredictionString\na,0.5000 1 2 3.5 4 0.2500 5 6 7 8\nb,\n")
    assert pd.read_csv(tmp_path / "s.csv").shape == (2, 2)
