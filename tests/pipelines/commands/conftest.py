"""What the tests of the verbs share."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from pipelines.__main__ import main
from pipelines.bundle import Bundle
from tests.conftest import ROOT

Call = tuple[list[Any], dict[str, Any]]


@pytest.fixture
def call(monkeypatch) -> Callable[[str, ModuleType, str], Call]:
    """Gives what a command line calls a function with, by place and by name; bundles are their names."""

    def of(line: str, module: ModuleType, function: str) -> Call:
        calls = []
        monkeypatch.setattr(module, function, lambda *given, **settings: calls.append((_named(given), settings)))
        monkeypatch.chdir(ROOT)
        assert main(line.split()) == 0
        (only,) = calls
        return only

    return of


@pytest.fixture
def misused(capsys) -> Callable[[str], str]:
    """Gives what a command line that is wrong is told, on the way out with the exit code 2."""

    def told(line: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(line.split())
        assert ended.value.code == 2
        return capsys.readouterr().err

    return told


def _named(given: Any) -> Any:
    if isinstance(given, (list, tuple)):
        return [_named(item) for item in given]
    return given.name if isinstance(given, Bundle) else given
