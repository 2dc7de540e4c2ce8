"""Cohorts of phantoms: drawn once, complete or not there at all, and never taken for patients."""

from __future__ import annotations

import pytest

from pipelines import draw_ct_phantoms, draw_phantoms
from pipelines.manifests.manifest import write_manifest
from pipelines.phantoms.cohort import NAME, draw_once
from transforms import DataError

SETTINGS = {"task": "lungs", "seed": 3, "patients": 2}


def draw(folder):
    """Three images of two patients, by their manifest alone."""
    folder.mkdir()
    entries = [{"image": f"{n}.png", "label": f"{n}.png", "patient_id": patient} for n, patient in enumerate("aab")]
    head = {
        "manifest_version": 1,
        "name": NAME,
        "task": "lungs",
        "source": "s",
        "licence": "CC0",
        "seed": 3,
        "split": "by hand",
    }
    write_manifest(
        {**head, "split": "by hand", "training": entries[:2], "validation": entries[2:], "test": []},
        folder / "manifest.json",
    )


def test_second_use_draws_nothing_and_says_that_they_are_phantoms(tmp_path, caplog):
    draw_phantoms(tmp_path / "p", patients=10, size=64)
    stamps = {f: f.stat().st_mtime_ns for f in (tmp_path / "p").rglob("*")}
    caplog.clear()
    draw_phantoms(tmp_path / "p", patients=10, size=64)
    assert stamps == {f: f.stat().st_mtime_ns for f in (tmp_path / "p").rglob("*")}
    assert "PHANTOMS" in caplog.text and "--dataset_dir DIR --manifest FILE" in caplog.text


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path, cohort):
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(DataError, match="holds something else than phantoms"):
        draw_phantoms(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(DataError, match="drawn with other settings"):
        draw_phantoms(cohort, patients=24, size=96, seed=4)


def test_a_cohort_is_drawn_once_and_told_apart_by_its_settings(tmp_path):
    folder = tmp_path / "deep" / "cohort"
    assert draw_once(folder, draw, SETTINGS, "masks") == str(folder)
    assert draw_once(folder, None, SETTINGS, "masks") == str(folder)  # which could not draw anything
    for key, other in (("task", "opacity"), ("seed", 4), ("patients", 3)):
        with pytest.raises(DataError, match="cohort: holds phantoms drawn with other settings. Delete it"):
            draw_once(folder, draw, {**SETTINGS, key: other}, "masks")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "cohort").mkdir()
    draw_once(tmp_path / "cohort", draw, SETTINGS, "masks")
    assert (tmp_path / "cohort" / "manifest.json").is_file()


def test_a_drawing_that_is_broken_off_leaves_nothing(tmp_path):
    def half(folder):
        draw(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_once(tmp_path / "cohort", half, SETTINGS, "masks")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draw", "name", "values", "least"),
    [
        (draw_phantoms, "size", (15, 1, 0, -8, 64.0, True), 16),
        (draw_ct_phantoms, "size", (39, 0, "128"), 40),
        (draw_phantoms, "patients", (0, -3, 2.5), 1),
        (draw_ct_phantoms, "seed", (-1, None), 0),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path, draw, name, values, least):
    for value in values:
        with pytest.raises(DataError) as refused:
            draw(tmp_path / "new", **{name: value})
        assert str(refused.value) == f"{name} of phantoms is {value!r}: give a whole number from {least} on."
    assert not list(tmp_path.iterdir())
