"""``package`` and ``verify``: what they call, with what."""

from __future__ import annotations

from pipelines.sharing import package, verify_package


def test_package(call, misused):
    assert call("package lungs --out FILE", package, "package") == (["lungs", "FILE"], {})
    assert "required: --out" in misused("package lungs")


def test_verify(call):
    assert call("verify FILE", verify_package, "verify") == (["FILE"], {})
