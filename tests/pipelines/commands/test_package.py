"""``init``: what it copies. ``package`` and ``verify``: what they call, with what."""

from __future__ import annotations

from pipelines.__main__ import main
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


def test_init_copies_those_that_are_named_or_all_and_overwrites_none(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "bundles", "lungs"]) == 0
    assert capsys.readouterr().out == "bundles/lungs\n"
    assert (tmp_path / "bundles" / "lungs" / "models" / "model.pt").is_file()
    assert main(["init", "bundles", "opacity", "lungs"]) == 1  # and opacity is not copied either
    assert "bundles/lungs: is there already, and is kept" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["lungs"]
    assert main(["init", "all"]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["abdomen", "lungs", "opacity", "pneumonia"]
    assert main(["init", "all", "gone"]) == 1
    assert "gone: no such bundle" in capsys.readouterr().err
