"""The benchmark of evaluation: its figures of both ways."""

from __future__ import annotations

import re

import pytest

from pipelines.bundle import Bundle
from pipelines.timing import evaluation as timing
from tests.running import bundle_of, small
from transforms import DataError


@pytest.mark.parametrize("name", ["lungs", "pneumonia"])
def test_images_a_second_before_and_after_and_their_ratio(name, monkeypatch, capsys, tmp_path):
    read = Bundle.read
    settings = small(name) | {"cache_dir": str(tmp_path)}
    monkeypatch.setattr(Bundle, "read", lambda bundle, names, **more: read(bundle, names, **settings | more))
    monkeypatch.setattr(Bundle, "weights", tmp_path / "none.pt")
    for key, value in {"ROUNDS": 2, "PATIENTS": 12, "SIDE": 64}.items():
        monkeypatch.setattr(timing, key, value)
    timing.evaluation(bundle_of(name))
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert re.match(r"medians of 2 rounds of \d+ images of 64²", first)
    assert [re.fullmatch(r"(\w+) +[\d.]+/s", row).group(1) for row in rows] == ["before", "after"]
    assert re.fullmatch(r"[\d.]+ times as fast", last)


def test_ct_is_refused():
    with pytest.raises(DataError, match="abdomen: evaluation is timed on radiographs"):
        timing.evaluation(bundle_of("abdomen"))
