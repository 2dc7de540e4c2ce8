"""The challenge's submission, as the challenge reads it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from pipelines import Submission
from pipelines.prediction.submission import write_submission
from transforms import DataError


def test_submission_is_in_the_challenge_s_format(tmp_path):
    write_submission([("in/a.dcm", [(0.5, (1, 2, 3.5, 4)), (0.25, (5, 6, 7, 8))]), ("b", [])], tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == ("patientId,PredictionString\na,0.5000 1 2 3.5 4 0.2500 5 6 7 8\nb,\n")
    assert pd.read_csv(tmp_path / "s.csv").shape == (2, 2)


def run(files, path):
    """An evaluator that finds 0.75 in the columns 1 to 2 and the rows 3 to 6 of every image."""
    probability = np.zeros((1, 8, 10), np.float32)
    probability[0, 1:3, 3:7] = 0.75
    engine = Engine(
        lambda _, file: [{"probability": MetaTensor(torch.from_numpy(probability), meta={"filename_or_obj": file})}]
    )
    Submission(path).attach(engine)
    engine.run(files)


def test_handler_writes_the_boxes_of_every_image_under_its_file_s_name(tmp_path):
    run(["in/b.dcm", "in/a.dcm"], tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "patientId,PredictionString\nb,0.7500 1 3 2 4\na,0.7500 1 3 2 4\n"


def test_two_images_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="a: two images have this name"):
        run(["in/a.dcm", "more/a.dcm"], tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
