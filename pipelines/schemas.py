"""JSON files that a schema describes: which there are, and reading one with a message where it breaks its schema."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from transforms import DataError

FOLDER = Path(__file__).resolve().parent / "documents"  # holds KIND.schema.json of each kind
SHOWN = 200  # characters of a message, which may hold all of the content
URN = "urn:radbundles:{}:1"  # what "$schema" of a file says, and "$id" of its schema


def fault_of(content: Any, schema: Mapping[str, Any]) -> str | None:
    """Where and how a content breaks a JSON Schema of draft 7, such as ``.test[3]: 5 is not of type 'string'``.

    Returns:
        the most telling fault, or None if there is none.
    """
    fault = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(content))
    if fault is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.absolute_path)
    message = fault.message if len(fault.message) <= SHOWN else f"{fault.message[:100]} … {fault.message[-100:]}"
    return f"{place}: {message}"


def read_described(path: os.PathLike | str, kind: str, fix: str) -> dict[str, Any]:
    """Read a JSON file of this project and check it.

    Args:
        path: the file.
        kind: ``"metrics"``, ``"report"`` or ``"figures"``.
        fix: what a user does where it is missing or broken, a sentence.

    Raises:
        DataError: if it is missing, is not JSON, or breaks its schema.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file. {fix}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}). {fix}") from error
    fault = fault_of(content, json.loads((FOLDER / f"{kind}.schema.json").read_text(encoding="utf-8")))
    if fault is not None:
        raise DataError(f"{path}: is not as {kind}.schema.json describes it: at {kind}{fault}. {fix}")
    return content
