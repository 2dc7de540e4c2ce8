"""The decoding program by itself: what it answers, and that it stays light."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from transforms.files import decoder


def served(*requests, payloads=None):
    """The program's answers to requests: what comes before an array, or an error; and the array."""
    asked, answers = io.BytesIO(), io.BytesIO()
    for number, request in enumerate(requests):
        payload = payloads[number] if payloads else b""
        asked.write(decoder.packed({"memory": None, "size": len(payload), **request}) + payload)
    asked.seek(0)
    decoder.serve(asked, answers)
    answers.seek(0)
    found = []
    while head := answers.read(decoder.LENGTH.size):
        answer = json.loads(answers.read(*decoder.LENGTH.unpack(head)))
        values = None
        if "error" not in answer:
            kind, length = np.dtype(answer["dtype"]), int(np.prod(answer["shape"]))
            values = np.frombuffer(answers.read(kind.itemsize * length), kind)
            values = values.reshape(answer["shape"], order=answer["order"])
        found.append((answer, values))
    return found


def test_each_request_gets_its_answer_and_errors_end_nothing(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ask = {"task": "picture", "path": str(tmp_path / "a.png"), "kind": "PNG", "stored": True}
    first, error, last = served(ask, ask | {"path": "gone.png"}, ask)
    np.testing.assert_array_equal(first[1], pixels)
    np.testing.assert_array_equal(last[1], pixels)
    assert "gone.png" in error[0]["error"]


def test_16_bits_stay_16_bits(tmp_path):
    pixels = np.array([[0, 1000, 65535]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ((_, values),) = served({"task": "picture", "path": str(tmp_path / "a.png"), "kind": "PNG", "stored": False})
    assert values.tolist() == pixels.tolist() and values.dtype.itemsize > 1


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float64, ">i4"])
@pytest.mark.parametrize("scale", [(1, 0), (0.5, -10)])
def test_volumes_are_as_nibabel_reads_them(tmp_path, monkeypatch, dtype, scale):
    monkeypatch.setattr(decoder, "CHUNK", 7)  # several parts
    image = nibabel.Nifti1Image(np.arange(24).reshape(2, 3, 4).astype(dtype), np.eye(4))
    image.header.set_slope_inter(*scale)
    nibabel.save(image, tmp_path / "a.nii.gz")
    ((_, values),) = served({"task": "nifti", "path": str(tmp_path / "a.nii.gz")})
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, nibabel.load(tmp_path / "a.nii.gz").get_fdata(dtype=np.float32))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), decoder.OUT_OF_MEMORY),
        (RuntimeError("Unable to allocate 3 GiB for an array"), decoder.OUT_OF_MEMORY),
        (ValueError("a\n   b"), "a b"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 1000), "x" * 300),
    ],
    ids=repr,
)
def test_errors_are_told_in_one_line(monkeypatch, error, said):
    def fail(request, given):
        raise error

    monkeypatch.setitem(decoder.TASKS, "fail", fail)
    (((answer), _),) = served({"task": "fail"})
    assert answer == {"error": said}


def test_the_program_starts_without_torch_and_monai():
    code = (
        f"import runpy, sys; runpy.run_path({decoder.__file__!r})\n"
        "import pydicom, PIL.Image, nibabel\n"
        "assert not {'torch', 'monai', 'transforms'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_nothing_is_dumped_and_little_written_on_any_system_with_limits(system):
    resource = pytest.importorskip("resource")
    code = (
        f"import resource, runpy, sys; sys.platform = {system!r}\n"
        f"runpy.run_path({decoder.__file__!r})['main']()\n"
        "sys.stderr.write(str([resource.getrlimit(one) for one in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    most = 2**20
    assert done.stderr.decode() == str([(0, 0), (most, most)]) and resource.getrlimit(resource.RLIMIT_CORE) is not None
