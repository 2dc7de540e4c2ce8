"""A run in a process of its own that fails is told as one error."""

from __future__ import annotations

import pytest

from pipelines.crossvalidation.running import run_bundle
from tests.running import bundle_of
from transforms import DataError


@pytest.mark.slow
def test_a_run_that_fails_names_its_manifest(tmp_path, capfd):
    bundle = bundle_of("opacity")
    settings = {"manifest": tmp_path / "gone.json", "output_dir": tmp_path, "ckpt_dir": tmp_path}
    with pytest.raises(DataError, match=r"evaluating with .*gone\.json failed: see above"):
        run_bundle(bundle, bundle.files(["train", "evaluate"]), "evaluating", settings)
    assert "model.pt: no such file. Train first" in "".join(capfd.readouterr())
