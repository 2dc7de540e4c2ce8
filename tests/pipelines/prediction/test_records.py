"""The records of a prediction: what counts as done, and what a kill leaves behind."""

from __future__ import annotations

import json
import os

import pytest

from pipelines.prediction.records import Records

MASK = {"size": 4, "sha256": "48bf9b4f142ab45cac6f33cf99415bca6ca8e07608a031237aa76560fec2204b"}  # by sha256sum
DONE = {"status": "done", "outputs": {"deep/a_mask.png": MASK}}


@pytest.fixture
def folder(tmp_path):
    """With the output of a case."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a_mask.png").write_bytes(b"mask")
    return tmp_path


def test_what_was_done_is_found_again(folder):
    Records(folder, "settings").append("deep/a.dcm", "identity", DONE)
    found = Records(folder, "settings").done("deep/a.dcm", "identity")
    assert found == {"case": "deep/a.dcm", "identity": "identity", "settings": "settings", **DONE}
    assert [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()] == [found]


def test_another_image_other_settings_and_a_lost_output_are_done_again(folder):
    Records(folder, "settings").append("deep/a.dcm", "identity", DONE)
    records = Records(folder, "settings")
    assert records.done("deep/b.dcm", "identity") is None
    assert records.done("deep/a.dcm", "changed") is None
    assert Records(folder, "other").done("deep/a.dcm", "identity") is None
    (folder / "deep" / "a_mask.png").unlink()
    assert records.done("deep/a.dcm", "identity") is None


def test_outputs_are_described_by_their_content(folder):
    records = Records(folder, "settings")
    assert records.describe([folder / "deep" / "a_mask.png"]) == DONE["outputs"]
    with pytest.raises(FileNotFoundError):
        records.describe([folder / "deep" / "a_mask.png", folder / "gone.png"])


@pytest.mark.parametrize("content", [b"", b"mas", b"mask\n", b"maks", None])
def test_an_output_that_was_cut_changed_or_removed_is_made_again(folder, content):
    records = Records(folder, "settings")
    records.append("deep/a.dcm", "identity", DONE)
    path = folder / "deep" / "a_mask.png"
    path.unlink() if content is None else path.write_bytes(content)
    assert records.lost(DONE) == ["deep/a_mask.png"]
    assert records.done("deep/a.dcm", "identity") is None
    path.write_bytes(b"mask")
    assert records.lost(DONE) == [] and records.done("deep/a.dcm", "identity")


def test_what_was_done_before_records_held_hashes_is_done_again(folder):
    records = Records(folder, "settings")
    records.append("deep/a.dcm", "identity", {"status": "done", "outputs": ["deep/a_mask.png"]})
    assert records.done("deep/a.dcm", "identity") is None


def test_the_last_record_of_a_case_counts(folder):
    records = Records(folder, "settings")
    records.append("a", "identity", {"status": "failed", "error": "cut short"})
    assert records.done("a", "identity") is None
    records.append("a", "identity", DONE)
    assert records.done("a", "identity") and Records(folder, "settings").done("a", "identity")
    records.append("a", "identity", {"status": "failed", "error": "disk full"})
    assert records.done("a", "identity") is None and Records(folder, "settings").done("a", "identity") is None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_a_kill_cut_short_costs_its_case_alone(folder, cut):
    records = Records(folder, "settings")
    for case in "ab":
        records.append(case, "identity", DONE)
    path = folder / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])  # at 1 only the end of the line is missing
    again = Records(folder, "settings")
    assert again.done("a", "identity") and bool(again.done("b", "identity")) == (cut == 1)
    again.append("c", "identity", DONE)  # on a line of its own
    assert Records(folder, "settings").done("a", "identity") and Records(folder, "settings").done("c", "identity")


@pytest.mark.parametrize("line", ["", "text", "[]", "null", '{"status": "done"}', '{"case": "a"'])
def test_a_line_that_is_no_record_is_passed_over(folder, line):
    Records(folder, "settings").append("a", "identity", DONE)
    with open(folder / "predictions.jsonl", "a") as file:
        file.write(line + "\n")
    assert Records(folder, "settings").done("a", "identity")


STARTED = {"status": "started", "alone": True}


def test_a_case_that_was_begun_beside_others_is_known_and_not_passed_over(folder):
    Records(folder, "settings").start("a", "identity")
    records = Records(folder, "settings")
    assert records.is_started("a", "identity") and not records.never_ended("a", "identity")
    assert not records.is_started("a", "changed") and not Records(folder, "other").is_started("a", "identity")
    records.append("a", "identity", DONE)
    assert not Records(folder, "settings").is_started("a", "identity")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_what_stops_a_run_takes_back_that_a_case_has_started(folder, fault):
    records = Records(folder, "settings")
    records.append("b", "identity", DONE)
    before = records.path.read_bytes()

    def stopped():
        with records.alone("a", "identity"):
            assert Records(folder, "settings").never_ended("a", "identity")
            raise fault

    with pytest.raises(fault):
        stopped()
    assert records.path.read_bytes() == before and not records.never_ended("a", "identity")


def test_a_case_that_was_started_alone_and_never_ended_is_known(folder):
    Records(folder, "settings").append("a", "identity", STARTED)
    records = Records(folder, "settings")
    assert records.never_ended("a", "identity") and records.done("a", "identity") is None
    assert not records.never_ended("b", "identity")
    assert not records.never_ended("a", "changed")
    assert not Records(folder, "other").never_ended("a", "identity")


@pytest.mark.parametrize("end", [DONE, {"status": "failed", "error": "cut short"}, {"status": "stopped"}])
def test_a_case_that_ended_somehow_did_not_end_the_run(folder, end):
    records = Records(folder, "settings")
    records.append("a", "identity", STARTED)
    records.append("a", "identity", end)
    assert not records.never_ended("a", "identity") and not Records(folder, "settings").never_ended("a", "identity")


def test_names_that_are_no_text_are_written_and_read_back(folder):
    name = os.fsdecode(b"caf\xe9.dcm")
    Records(folder, "settings").append(name, "identity", STARTED)
    assert Records(folder, "settings").never_ended(name, "identity")
