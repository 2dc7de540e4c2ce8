"""``phantoms`` and ``ct_phantoms``: what they call, with what."""

from __future__ import annotations

from pipelines.phantoms import ct, radiographs


def test_radiographs(call, misused):
    settings = {"folder": "DIR", "patients": 120, "size": 512, "seed": 0, "truth": "lungs"}
    assert call("phantoms DIR --truth lungs", radiographs, "draw_phantoms") == ([], settings)
    assert "invalid choice: 'heart'" in misused("phantoms DIR --truth heart")


def test_ct(call, misused):
    settings = {"folder": "DIR", "patients": 16, "size": 64, "seed": 0}
    assert call("ct_phantoms DIR --size 64", ct, "draw_ct_phantoms") == ([], settings)
    assert "unrecognized arguments: --truth lungs" in misused("ct_phantoms DIR --truth lungs")  # all have their organs
