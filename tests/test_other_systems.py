"""What Linux can show of Windows and macOS: no module of POSIX is needed, processes are spawned, text is UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Windows has none of these modules and functions. `subprocess` looks for msvcrt to tell the system, so it comes first.
WITHOUT_POSIX = """
import fcntl, os, subprocess, sys, types
lockf, how = fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB
windows = types.ModuleType("msvcrt")
windows.LK_NBLCK = 2
windows.locking = lambda file, mode, length: lockf(file, how, length, 0, os.SEEK_CUR)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
sys.modules["msvcrt"] = windows
for name in ("pread", "pwrite", "sched_getaffinity"):
    delattr(os, name)
"""

PROGRAM = """
import importlib, json, multiprocessing, pkgutil, sys, warnings
from pathlib import Path


def main():
    multiprocessing.set_start_method("spawn")
    warnings.filterwarnings("error", category=EncodingWarning, module="transforms|networks|pipelines")
    import networks, pipelines, transforms
    from pipelines.__main__ import main as command
    for package in (transforms, networks, pipelines):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.startswith("pipelines.label"):  # which needs MONAI Label
                importlib.import_module(module.name)
    from transforms.files.lock import fcntl
    assert fcntl is None
    assert command(["phantoms", "drawn", "--truth", "lungs", "--patients", "20", "--size", "64"]) == 0
    assert command(["predict", "lungs", "--input", "drawn/images", "--output", "out"]) == 0
    assert not list(Path("out").rglob(".*"))
    assert len(json.loads(Path("out/summary.json").read_text(encoding="utf-8"))["done"]) == 20
    found = pipelines.Model("lungs").predict("drawn/images/phantom_000.png")
    assert found.mask.shape == (64, 64) and found.mask.any()

    from tests.running import run, small  # a training, whose cache is filled by spawned processes
    data = {"dataset_dir": "drawn", "manifest": "drawn/manifest.json"}
    folders = {"ckpt_dir": "trained", "output_dir": "eval", "cache_dir": "cache"}
    run("lungs", ["train"], "training", epochs=1, num_workers=1, **data, **folders, **small("lungs"))
    assert Path("trained/model.pt").is_file()
    print("all done")


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_without_posix_and_with_spawned_processes_it_draws_predicts_and_trains(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_POSIX)
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}",
        "PYTHONWARNDEFAULTENCODING": "1",
        "USERNAME": "me",
    }
    ended = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.endswith("all done\n")


def test_configurations_are_ascii():
    """MONAI reads them in the encoding of the system."""
    for path in ROOT.glob("bundles/*/configs/*"):
        assert path.read_bytes().isascii(), path
