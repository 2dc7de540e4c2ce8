"""``crossvalidate``: what it calls, with what."""

from __future__ import annotations

from pipelines.__main__ import main
from pipelines.crossvalidation import cross_validation


def test_arguments_reach_the_function(call):
    line = "crossvalidate opacity --manifest FILE --dataset_dir DIR --output OUT --folds 3 --epochs 2 --evaluation a"
    given, settings = call(line, cross_validation, "cross_validate")
    assert given == ["opacity"]
    assert settings == {
        **{"manifest": "FILE", "dataset_dir": "DIR", "output_dir": "OUT", "folds": 3, "seed": 0, "epochs": 2},
        **{"overlays": (), "evaluation": ["a"]},
    }


def test_another_cross_validation_can_be_evaluated_and_compared_with(call):
    line = "crossvalidate opacity --manifest FILE --dataset_dir DIR --output OUT --trained A --against B --seed 7"
    line += " --unknown_spacing pixels"
    _, settings = call(line, cross_validation, "cross_validate")
    assert settings == {
        **{"manifest": "FILE", "dataset_dir": "DIR", "output_dir": "OUT", "folds": 5, "seed": 7},
        **{"overlays": (), "evaluation": (), "trained": "A", "against": "B"},  # epochs: those of the bundle
        "reader#unknown_spacing": "pixels",
    }


def test_the_test_split_can_be_kept(call):
    line = "crossvalidate opacity --manifest FILE --dataset_dir DIR --output OUT --keep_test"
    assert call(line, cross_validation, "cross_validate")[1]["keep_test"] is True


def test_keys_of_the_configuration_can_be_overridden(call, misused, capsys):
    line = "crossvalidate opacity --manifest FILE --dataset_dir DIR --output OUT"
    given = "--override loss#batch True --override learning_rate 0.01 --override optimizer#_target_ torch.optim.Adam"
    _, settings = call(f"{line} {given}", cross_validation, "cross_validate")
    values = settings["loss#batch"], settings["learning_rate"], settings["optimizer#_target_"]
    assert values == (True, 0.01, "torch.optim.Adam")
    for wrong, message in (
        ("epochs 3", "--override epochs: is set by the command"),
        ("los#batch True", "the configuration has no los."),
        ("learningrate 1", "the configuration has no learningrate."),
    ):
        assert main([*line.split(), "--override", *wrong.split()]) == 1
        assert message in capsys.readouterr().err


def test_data_and_output_must_be_given(misused):
    assert "required: --manifest, --dataset_dir, --output" in misused("crossvalidate opacity")
