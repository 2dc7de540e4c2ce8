"""``predict``: what it calls, with what, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sys

import pytest

from pipelines.__main__ import main
from pipelines.archive import listen
from pipelines.archive import predict as archive_predict
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
        "quiet": False,
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
        **{"overlay_size": 512, "pictures": True, "calibrated": True, "quiet": False},
    }


def test_a_cross_validation_can_predict(call):
    assert call("predict lungs --input DIR --output OUT --ensemble CV", predict, "predict")[1]["ensemble"] == "CV"


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


@pytest.fixture
def images(cohort, tmp_path):
    """Two radiographs, and one that was cut short; their names are those of patients."""
    folder = tmp_path / "in"
    folder.mkdir()
    first, second = sorted((cohort / "stage_2_train_images").iterdir())[:2]
    shutil.copy(first, folder / "DOE_JANE.dcm")
    (folder / "ROE_JOHN.dcm").write_bytes(second.read_bytes()[:1500])
    return folder


def test_the_summary_is_all_of_stdout_where_it_is_asked_for(images, tmp_path, capfd):
    line = ["predict", "lungs", "--input", str(images), "--output", str(tmp_path / "out"), "--json"]
    assert main(line) == 1
    said = capfd.readouterr()
    summary = json.loads(said.out)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["cases"] == 2 and summary["exit_code"] == 1 and len(summary["failed"]) == 1
    assert "done in" in said.err and "cut short" in said.err
    assert main([*line, "--quiet"]) == 1
    said = capfd.readouterr()
    assert json.loads(said.out)["done_before"] == 1 and "cases done" not in said.err and "cut short" in said.err
    assert main(["predict", "lungs", "--input", "gone", "--output", str(tmp_path / "other"), "--json"]) == 2
    said = capfd.readouterr()
    assert said.out == "" and "error: gone: no such folder. Give the folder of the images" in said.err


def test_quiet_says_what_failed_and_no_more(images, tmp_path, capfd):
    assert main(["predict", "lungs", "--input", str(images), "--output", str(tmp_path / "out"), "--quiet"]) == 1
    said = capfd.readouterr()
    assert "ROE_JOHN.dcm: FAILED: " in said.out and "cases done" not in said.out and "done in" not in said.out
    assert said.err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_a_bar_that_names_nobody(images, tmp_path, capfd, monkeypatch, quiet):
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        more = ["--quiet"] if quiet else []
        assert main(["predict", "lungs", "--input", str(images), "--output", str(tmp_path / "out"), *more]) == 1
        terminal.flush()
        os.set_blocking(reader, False)
        shown = b""
        while True:
            try:
                shown += os.read(reader, 65536)
            except BlockingIOError:
                break
    os.close(reader)
    assert (b"predicting lungs: 100%" in shown, b"reading headers: 100%" in shown) == (not quiet, not quiet)
    assert b"DOE" not in shown and b"ROE" not in shown
    out = capfd.readouterr().out
    assert "ROE_JOHN.dcm: FAILED" in out and "DOE_JANE" not in out  # the bar stands for what is done


def test_a_cluster_is_for_folders(call, capsys):
    line = "predict lungs --input DIR --output OUT --engine ray --address 127.0.0.1:6379"
    _, settings = call(line, predict, "predict")
    assert (settings["engine"], settings["address"]) == ("ray", "127.0.0.1:6379")
    asked = ["predict", "lungs", "--input", "http://a/dicom-web", "--query", "PatientID=1", "--output", "OUT"]
    for option in (["--engine", "ray"], ["--address", "auto"]):
        assert main([*asked, *option]) == 2
        assert f"{option[0]} is for folders of images" in capsys.readouterr().err


def test_an_archive_is_asked_for_what_the_query_says(call, misused):
    url = "http://127.0.0.1:8042/dicom-web"
    line = f"predict lungs --input {url} --query PatientID=a=b StudyDate=20260101 --output OUT --store {url}"
    given, settings = call(line, archive_predict, "predict_archive")
    assert given == ["lungs"] and settings["url"] == settings["store"] == url
    assert settings["query"] == {"PatientID": "a=b", "StudyDate": "20260101"} and "dataset_dir" not in settings
    told = misused(f"predict lungs --input {url} --output OUT --query PatientID")
    assert "'PatientID' is not KEY=VALUE" in told


def test_listening_needs_a_folder_and_a_peer(call, misused):
    given, settings = call("listen lungs --spool DIR --store PACS@127.0.0.1:4242", listen, "listen")
    assert given == ["lungs"]
    assert settings == {"spool": "DIR", "store": "PACS@127.0.0.1:4242", "overlays": (), "report": False}
    more = " --port 104 --host 0.0.0.0 --title US --allow A --allow B --settle 5 --limit 9 --format seg-strict --report"
    _, settings = call(f"listen lungs --spool DIR --store PACS@127.0.0.1:4242{more}", listen, "listen")
    assert settings | {"port": 104, "host": "0.0.0.0", "title": "US", "allowed": ["A", "B"]} == settings
    assert settings | {"settle": 5, "limit": 9, "format": "seg-strict", "report": True} == settings
    assert "required: --spool, --store" in misused("listen lungs")
