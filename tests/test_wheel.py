"""What pip installs is all that is needed: bundles and weights travel, nothing else does, nothing is written there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.bundle import Bundle
from pipelines.prediction.predict import predict
from tests.conftest import ROOT
from tests.running import BUNDLES

pytestmark = pytest.mark.slow

SOURCES = ("pipelines", "transforms", "networks", "data_manifests", "bundles")
WITH_WEIGHTS = ("lungs", "opacity", "pneumonia")
MADE_HERE = shutil.ignore_patterns("__pycache__", "phantoms", "cache", "eval", "*.previous*", "last_epoch*")
NOT_SHIPPED = (  # what is in a clone once it has been used
    "abdomen/models/model.pt",
    "lungs/models/model.previous.pt",
    "lungs/models/last_epoch.pt",
    "lungs/configs/monailabel_train.json",
    "lungs/phantoms/images/phantom_000.png",
    "lungs/cache/1.pt",
    "lungs/eval/test/images.csv",
)


def python(*arguments, **settings):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **settings)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Where pip has put the wheel of a clone that has been used."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    for name in SOURCES:
        shutil.copytree(ROOT / name, clone / name, ignore=MADE_HERE)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    for name in NOT_SHIPPED:
        path = clone / "bundles" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"made here")
    built = python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, clone, cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("radbundles-*.whl")
    put = python("-m", "pip", "install", "-q", "--no-deps", "--target", folder / "site", wheel, cwd=folder)
    assert put.returncode == 0, put.stderr
    return folder / "site"


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_bundles_travel_with_their_weights_and_licences_and_without_what_was_made_in_the_clone(installed):
    found = {name for name in files_in(installed) if name.startswith("bundles/")}
    expected = {f"bundles/{name}/{file}" for name in BUNDLES for file in Bundle(ROOT / "bundles" / name).shipped()}
    kept = {name for name in expected if "/models/" not in name or name.split("/")[1] in WITH_WEIGHTS}
    assert found == kept - {f"bundles/{name}" for name in NOT_SHIPPED}
    assert {"bundles/lungs/models/model.pt", "bundles/pneumonia/docs/data_license.txt"} <= found
    assert (installed / "bundles/lungs/models/model.pt").read_bytes() == (
        ROOT / "bundles/lungs/models/model.pt"
    ).read_bytes()


def test_it_predicts_from_any_folder_as_the_clone_does_and_leaves_its_own_files_alone(installed, cohort, tmp_path):
    images, empty = tmp_path / "in", tmp_path / "empty"
    images.mkdir()
    empty.mkdir()
    for path in sorted((cohort / "stage_2_train_images").iterdir())[:2]:
        shutil.copy(path, images)
    before = files_in(installed)
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments):
        return python("-m", "pipelines", *arguments, cwd=empty, env=environment)

    done = run("predict", "lungs", "--input", images, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert str(installed / "bundles" / "lungs") in done.stdout  # whose weights were loaded
    assert predict(Bundle(ROOT / "bundles" / "lungs"), dataset_dir=images, output_dir=tmp_path / "clone") == 0
    masks = sorted((tmp_path / "out").glob("*_mask.png"))
    assert len(masks) == 2 and list(empty.iterdir()) == []
    for mask in masks:
        found, expected = (np.asarray(Image.open(path)) for path in (mask, tmp_path / "clone" / mask.name))
        assert expected.any() and np.array_equal(found, expected)

    refused = run("evaluate", "lungs")
    assert refused.returncode == 1 and "radbundles init bundles lungs" in refused.stderr
    copied = run("init", "bundles", "lungs")
    assert copied.returncode == 0 and copied.stdout.split() == [str(Path("bundles/lungs"))]
    assert files_in(empty / "bundles" / "lungs").keys() == set(Bundle(installed / "bundles" / "lungs").shipped())
    assert run("init", "bundles").returncode == 1 and len(list((empty / "bundles").iterdir())) == 1
    assert files_in(installed) == before
