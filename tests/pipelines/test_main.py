"""The command line: how it ends, and that its help does not wait for torch. Its verbs have tests of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from pipelines.__main__ import main
from pipelines.sharing import verify_package
from tests.conftest import ROOT


def test_help_imports_nothing_that_takes_its_time():
    program = (
        "import sys, pipelines\nfrom pipelines.__main__ import main\n"
        "try:\n    main(['manifest', '--help'])\n"
        "except SystemExit:\n    print('loaded:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(output.stdout.partition("loaded: ")[2].split())
    assert "pipelines" in loaded
    assert not loaded & {"torch", "monai", "ignite", "numpy", "pandas", "pydicom", "matplotlib", "transforms"}


def test_codes(capsys):
    assert main(["verify", "gone.zip"]) == 1
    assert capsys.readouterr().err.startswith("error: gone.zip: cannot be read")
    assert main(["predict", "gone", "--input", "DIR", "--output", "OUT"]) == 2
    assert capsys.readouterr().err.startswith("error: gone: no such bundle")
    for wrong in ([], ["manifest"], ["preict"], ["phantoms", "DIR", "--size", "x"], ["predict", "lungs"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2


def test_what_is_no_fault_of_the_users_is_not_hidden(monkeypatch):
    def broken(file, **settings):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(verify_package, "verify", broken)
    with pytest.raises(KeyError):
        main(["verify", "FILE"])


def test_the_console_script_is_the_command_line():
    value = re.search(r'^radbundles = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert EntryPoint("radbundles", value, "console_scripts").load() is main
