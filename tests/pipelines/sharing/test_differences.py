"""How a package differs from what is here: by file, and of settings by value."""

from __future__ import annotations

import hashlib
import json

import pytest

from pipelines.sharing.archive import Contents
from pipelines.sharing.differences import differences
from transforms import DataError


def package(**files):
    data = {f"configs/{name}.json": json.dumps(config).encode() for name, config in files.items()}
    return Contents("small", {name: hashlib.sha256(text).hexdigest() for name, text in data.items()}, data)


def found(theirs, ours):
    return differences("here", package(train=theirs), package(train=ours).settings).get("configs/train.json")


def test_the_same_is_no_difference():
    assert found({"a": 1}, {"a": 1}) is None


@pytest.mark.parametrize(
    ("theirs", "ours", "lines"),
    [
        ({"a": 2}, {"a": 1}, ["- a: 1", "+ a: 2"]),
        ({"a": "1"}, {"a": 1}, ["- a: 1", "+ a: 1"]),  # a text and a number
        ({"a": True}, {"a": 1}, ["- a: 1", "+ a: true"]),
        ({"a": {}}, {"a": []}, ["- a: []", "+ a: {}"]),
        ({"a": [3, 1, 2]}, {"a": [1, 2]}, ["+ a::0: 3"]),
        ({"a": [2, 1]}, {"a": [1, 2]}, None),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}, {"c": 2}]}, ["says the same, written in another way"]),
        ({"b": {"c": 1}, "a": 1}, {"a": 1, "b": {"c": 1}}, None),
    ],
)
def test_what_differs_is_shown(theirs, ours, lines):
    told = found(theirs, ours)
    assert told and (lines is None or told == lines)


def test_files_too_large_to_compare_are_to_be_read():
    assert found({"a": [1] * 4000}, {"a": [2]}) == ["has 4000 values, too many to compare: read it"]


def test_what_cannot_be_expanded_is_refused():
    with pytest.raises(DataError, match="here: configs/train.json: MONAI cannot read it"):
        found({"a": "%missing"}, {"a": 1})
