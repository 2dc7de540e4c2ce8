"""``export``: what it calls, with what."""

from __future__ import annotations

from pipelines.sharing import export


def test_a_file_is_all_that_must_be_given(call, misused):
    assert call("export lungs --out FILE", export, "export") == (["lungs"], {"out": "FILE", "overlays": ()})
    assert "required: --out" in misused("export lungs")


def test_arguments_reach_the_function(call):
    line = "export lungs --out FILE --weights W --overlays --image_size 64"
    expected = {"out": "FILE", "weights": "W", "overlays": [], "image_size": 64}
    assert call(line, export, "export") == (["lungs"], expected)
