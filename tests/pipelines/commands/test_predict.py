"""``predict``: what it calls, with what, and how it ends."""

from __future__ import annotations

import pytest

from pipelines.__main__ import main
from pipelines.prediction import predict
from pipelines.prediction.formats import FORMATS
from tests.conftest import ROOT


def test_two_folders_are_all_that_must_be_given(call, misused):
    given, settings = call("predict lungs --input DIR --output OUT", predict, "predict")
    assert given == ["lungs"]
    expected = {"dataset_dir": "DIR", "output_dir": "OUT", "overlays": (), "fractional": False, "report": False}
    assert settings == expected | {
        "keep_free_text": False,
        "hide_names": False,
        "retry": False,
        "pictures": True,
        "calibrated": False,
    }
    assert "required: --input, --output" in misused("predict lungs")


def test_arguments_reach_the_function(call):
    line = (
        "predict pneumonia --input DIR --output OUT --format seg --fractional --report --submission CSV --weights FILE "
        "--overlays a b --image_size 64 --unknown_spacing pixels --keep-free-text --names hash --overlay_size 512 "
        "--calibrated"
    )
    given, settings = call(line, predict, "predict")
    assert given == ["pneumonia"]
    assert settings == {
        **{"dataset_dir": "DIR", "output_dir": "OUT", "format": "seg", "fractional": True, "report": True},
        **{"submission": "CSV", "weights": "FILE", "overlays": ["a", "b"], "image_size": 64},
        **{"reader#unknown_spacing": "pixels", "retry": False, "keep_free_text": True, "hide_names": True},
        **{"overlay_size": 512, "pictures": True, "calibrated": True},
    }


def test_overlays_can_be_left_out_and_have_a_size_of_a_pixel_at_least(call, misused):
    assert not call("predict lungs --input DIR --output OUT --no-overlays", predict, "predict")[1]["pictures"]
    for option in ("--overlay_size", "--workers", "--batch_size"):
        for value in ("0", "-1", "x", "1.5"):
            told = misused(f"predict lungs --input DIR --output OUT {option} {value}")
            assert f"{option}: " in told and "whole number above 0" in told


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for(call, name):
    _, settings = call(f"predict lungs --input DIR --output OUT --format {name}", predict, "predict")
    assert settings["format"] == name


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_ends_with_the_code_that_says_how_many_were_done(monkeypatch, code):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(predict, "predict", lambda bundle, **settings: code)
    assert main(["predict", "lungs", "--input", "DIR", "--output", "OUT"]) == code
