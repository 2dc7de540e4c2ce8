"""What made a mask, as DICOM can name it."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from pipelines.dicom.algorithm import Algorithm
from tests.conftest import ROOT
from tests.running import BUNDLES, bundle_of


@pytest.mark.parametrize("name", BUNDLES)
def test_every_bundle_has_a_name_that_fits_and_its_weights_hash(name, tmp_path):
    """DICOM's long string has room for 64 characters, none of them a backslash (PS3.5 6.2)."""
    (tmp_path / "weights.pt").write_bytes(b"weights")
    algorithm = bundle_of(name).algorithm(tmp_path / "weights.pt")
    assert all(0 < len(text) <= 64 and "\\" not in text for text in (algorithm.name, algorithm.version))
    assert algorithm.weights == hashlib.sha256(b"weights").hexdigest()
    assert algorithm.weights[:12] in algorithm.version  # two trainings are two versions
    assert algorithm.type == "AUTOMATIC"  # a person's hand must be told


def test_is_named_where_no_dicom_library_is():
    program = "import sys; from pipelines.dicom.algorithm import Algorithm; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pydicom", "highdicom", "transforms"} & set(done.stdout.split())


def test_cannot_be_changed_under_an_object_that_names_it():
    with pytest.raises(AttributeError):
        Algorithm("Finder", "1.2.3", "0" * 64).name = "Another"
