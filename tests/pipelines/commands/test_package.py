"""``package`` and ``verify``: what they call, with what."""

from __future__ import annotations

from pipelines.sharing import package, verify_package


def test_package(call, misused):
    assert call("package lungs --out FILE", package, "package") == (["lungs"], {"out": "FILE"})
    signed = call("package lungs --out FILE --sign KEY", package, "package")
    assert signed == (["lungs"], {"out": "FILE", "key": "KEY"})
    assert "required: --out" in misused("package lungs")


def test_verify(call):
    assert call("verify FILE", verify_package, "verify") == (["FILE"], {"allow": []})
    given = call("verify FILE --key KEY --allow a.b --allow c", verify_package, "verify")
    assert given == (["FILE"], {"key": "KEY", "allow": ["a.b", "c"]})
