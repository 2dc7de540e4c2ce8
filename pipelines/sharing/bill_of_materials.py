"""What a packaged bundle is made of, in the words of CycloneDX: an ML-BOM that scanners of supply chains read.

Written as plain JSON: cyclonedx-python-lib has no model cards (its issue 912), and what is packaged may not depend on
what is installed beside. The tests validate it with that library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..bundle import WEIGHTS

BILL = "sbom.cdx.json"
SPECIFICATION = "1.6"  # https://cyclonedx.org/docs/1.6/json/
DATA = "training-data"


def bill_of_materials(metadata: Mapping[str, Any], versions: Mapping[str, str], files: Mapping[str, bytes]) -> bytes:
    """The bill of materials of a packaged bundle: its model, the packages that this needs, and its training data.

    It holds neither a date nor a serial number, so that the same bundle has the same bill.

    Args:
        metadata: the bundle's.
        versions: of the packages that it needs, by their names on PyPI.
        files: of the package, by path.

    Returns:
        JSON
    """
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": metadata["name"],
        "version": metadata["version"],
        "description": metadata["description"],
        "licenses": [_licence("LICENSE", files)],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": metadata["task"],
                "datasets": [{"ref": DATA}],
                "inputs": [{"format": metadata["image_classes"]}],
                "outputs": [{"format": metadata["pred_classes"]}],
            },
            "considerations": {"useCases": [metadata["intended_use"]]},
        },
    }
    if WEIGHTS in files:
        model["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(files[WEIGHTS]).hexdigest()}]
    needed = [_package(name, version) for name, version in sorted(versions.items())]
    data = {
        "type": "data",
        "bom-ref": DATA,
        "name": "training data",
        "description": metadata["data_source"],
        "licenses": [_licence("docs/data_license.txt", files)],
        "data": [{"type": "dataset", "name": metadata["data_source"]}],
    }
    bill = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {"component": model},
        "components": [*needed, data],
        "dependencies": [
            {"ref": "model", "dependsOn": [part["bom-ref"] for part in (*needed, data)]},
            *({"ref": part["bom-ref"]} for part in (*needed, data)),
        ],
    }
    return (json.dumps(bill, indent=2) + "\n").encode()


def _package(name: str, version: str) -> dict[str, str]:
    url = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def _licence(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    text = files[path].decode()
    beginning = text.split(maxsplit=4)[:4]
    if beginning == ["Apache", "License", "Version", "2.0,"]:
        return {"license": {"id": "Apache-2.0"}}
    return {"license": {"name": f"as in {path}", "text": {"contentType": "text/plain", "content": text}}}
