"""The stages of a prediction: batches are as good as single images, and what goes wrong is the case's own."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.prediction.records import Records
from pipelines.prediction.stages import Stages
from tests.running import bundle_of, small
from transforms import Case


@pytest.fixture
def stages(tmp_path):
    """Of the bundle ``lungs``, with a small network."""
    torch.manual_seed(0)
    places = {"dataset_dir": str(tmp_path / "in"), "output_dir": str(tmp_path / "out")}
    nothing_fitted = {"classifier": None, "quality": None}  # as it was to the shipped network, which is larger
    parser = bundle_of("lungs").read(["inference"], **places, **small("lungs"), initialize=[], **nothing_fitted)
    return Stages(parser, Records(tmp_path / "out", "settings"), boxes=False)


@pytest.fixture
def cases(tmp_path):
    (tmp_path / "in").mkdir()
    rng, made = np.random.default_rng(0), []
    for number, shape in enumerate([(40, 60), (64, 64), (90, 31), (33, 80), (70, 50)]):
        path = tmp_path / "in" / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(path)
        made.append(Case(str(path), (path,), "identity", False))
    return made


def masks(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*_mask.png")}


def test_a_batch_gives_what_single_images_give(stages, cases, tmp_path):
    with torch.no_grad():
        single = [stages.compute([stages.read(case)])[0].data["pred"] for case in cases]
        batch = [one.data["pred"] for one in stages.compute([stages.read(case) for case in cases])]
    for one, other in zip(single, batch, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_threads_write_what_one_writes(stages, cases, tmp_path):
    with torch.no_grad():
        computed = stages.compute([stages.read(case) for case in cases])
    records = [stages.write(one) for one in computed]
    assert all(record["status"] == "done" for record in records), records
    expected, seen = masks(tmp_path / "out"), []
    for _ in range(3):
        with torch.no_grad():
            again = stages.compute([stages.read(case) for case in cases])
        threads = [threading.Thread(target=lambda one=one: seen.append(stages.write(one))) for one in again]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert masks(tmp_path / "out") == expected and len(expected) == 5
    assert {record["status"] for record in seen} == {"done"} and len(seen) == 15


def test_a_fault_is_its_case_s_alone(stages, cases, tmp_path):
    cases[1].path.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with torch.no_grad():
        read = [stages.read(case) for case in cases]
        read[3].data["image"] = torch.full_like(torch.as_tensor(read[3].data["image"]), torch.nan)
        records = [stages.write(one) for one in stages.compute(read)]
    assert [record["status"] for record in records] == ["done", "failed", "done", "failed", "done"]
    assert "cannot be read as PNG" in records[1]["error"] and "not finite" in records[3]["error"]
    assert set(masks(tmp_path / "out")) == {"0_mask.png", "2_mask.png", "4_mask.png"}
