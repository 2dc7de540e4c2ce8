"""The bill of materials of a package: valid by CycloneDX's own schema, and true."""

from __future__ import annotations

import hashlib
import json
import zipfile

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import ROOT
from tests.pipelines.sharing.conftest import packaged
from tests.running import BUNDLES


def bill_in(path):
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/sbom.cdx.json"))
        return archive.read(name).decode()


@pytest.fixture
def bill(path):
    return bill_in(path)


def component(bill, name):
    (found,) = (part for part in json.loads(bill)["components"] if part["name"] == name)
    return found


@pytest.mark.parametrize("bundle", BUNDLES)
def test_it_is_valid(tmp_path, bundle):
    bill = bill_in(packaged(ROOT / "bundles" / bundle, tmp_path / "bundle.zip"))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    read = Bom.from_json(json.loads(bill))
    assert {str(part.purl) for part in read.components if part.purl} >= {
        "pkg:pypi/torch@2.13.0",
        "pkg:pypi/monai@1.6.1",
    }
    assert read.validate()  # every dependency is a component


def test_a_broken_bill_is_not_valid(bill):
    """The validator sees what is wrong."""
    broken = json.loads(bill)
    broken["metadata"]["component"]["modelCard"]["task"] = "x"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_it_names_the_packages_that_are_required_with_their_versions(small, bill):
    metadata = json.loads((small / "configs" / "metadata.json").read_text())
    expected = {"torch": metadata["pytorch_version"], "monai": metadata["monai_version"]}
    expected |= {"numpy": metadata["numpy_version"], **metadata["required_packages_version"]}
    found = {part["name"]: part["version"] for part in json.loads(bill)["components"] if part["type"] == "library"}
    assert found == expected
    assert component(bill, "python-gdcm")["purl"] == f"pkg:pypi/python-gdcm@{expected['python-gdcm']}"


def test_it_has_the_hash_of_the_model_and_the_licences(small, bill):
    model = json.loads(bill)["metadata"]["component"]
    weights = hashlib.sha256((small / "models" / "model.pt").read_bytes()).hexdigest()
    assert model["type"] == "machine-learning-model" and model["hashes"] == [{"alg": "SHA-256", "content": weights}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    data = component(bill, "training data")
    licence = (small / "docs" / "data_license.txt").read_text()
    assert data["type"] == "data" and data["licenses"][0]["license"]["text"]["content"] == licence


def test_other_licences_and_no_weights(small, tmp_path):
    (small / "models" / "model.pt").unlink()
    (small / "LICENSE").write_text("Ask me.")
    bill = bill_in(packaged(small, tmp_path / "small.zip"))
    model = json.loads(bill)["metadata"]["component"]
    assert "hashes" not in model and model["licenses"][0]["license"]["text"]["content"] == "Ask me."
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
