"""Names of images, and of outputs after them."""

from __future__ import annotations

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


def test_names_of_images():
    assert [image_name(name) for name in ("a.dcm", "1.2.840", "b.nii.gz", "c.PNG")] == ["a", "1.2.840", "b", "c"]
