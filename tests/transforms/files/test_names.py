"""Names of images, and of outputs after them."""

from __future__ import annotations

import pytest

from transforms import OutputLayout, image_name


def test_names_of_files_without_extension_stay_apart(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "mask")
    names = [
        layout.filename(subject=tmp_path / "in" / "sub" / name) for name in ("1.2.3.4", "1.2.3.5", "a.dcm", "b.PNG")
    ]
    assert names == [str(tmp_path / "out" / "sub" / f"{n}_mask.png") for n in ("1.2.3.4", "1.2.3.5", "a", "b")]


def test_the_folder_itself_may_be_the_series(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "series", "mask", ".nii.gz")
    assert layout.filename(subject=tmp_path / "series") == str(tmp_path / "out" / "series_mask.nii.gz")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.dcm", "a"),
        ("c.PNG", "c"),
        ("b.nii.gz", "b"),
        ("B.NII.GZ", "B"),
        ("sub/d.dicom", "d"),
        ("1.2.840", "1.2.840"),  # a UID has no extension
        ("1.2.840.dcm", "1.2.840"),
        ("x.dcm.jpeg", "x.dcm"),
        ("dcm", "dcm"),
    ],
)
def test_names_of_images(file, name):
    assert image_name(file) == name


def test_an_image_from_elsewhere_is_named_in_the_output_folder_and_nothing_is_made(tmp_path):
    layout = OutputLayout(tmp_path / "out", tmp_path / "in", "mask")
    assert layout.filename(tmp_path / "other" / "sub" / "a.dcm") == str(tmp_path / "out" / "a_mask.png")
    assert not (tmp_path / "out").exists()


def test_paths_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout = OutputLayout("out", "in", "mask")
    assert layout.filename("in/sub/a.dcm") == layout.filename(tmp_path / "in" / "sub" / "a.dcm") == "out/sub/a_mask.png"
    assert OutputLayout("out", tmp_path / "in", "mask").filename("./in/sub/a.dcm") == "out/sub/a_mask.png"


def test_links_are_named_as_they_are_called_and_not_as_what_they_lead_to(tmp_path):
    """As data sets under version control link to a store, or studies to an archive with its own names."""
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        (tmp_path / "archive" / name / "IMG0001").touch()
        (tmp_path / "in" / f"{name}.dcm").symlink_to(tmp_path / "archive" / name / "IMG0001")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in ("in", "link"):
        layout = OutputLayout(tmp_path / "out", tmp_path / folder, "mask")
        names = [layout.filename(tmp_path / folder / f"{name}.dcm") for name in ("a", "b")]
        assert names == [str(tmp_path / "out" / f"{name}_mask.png") for name in ("a", "b")]
