"""Whether a file is what its name says: weights a state dict and no more, JSON that says one thing."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile

import pytest
import torch

from pipelines.sharing.content import check_content, read_json
from transforms import DataError


class Calls:
    """Pickled: a call, which happens when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def repacked(data, change=lambda name, content: content, kind=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", kind) as target:
        for name in source.namelist():
            target.writestr(name, change(name, source.read(name)))
    return buffer.getvalue()


STATE = {"layer.weight": torch.ones(2, 3), "count": torch.tensor(3), "half": torch.ones(2, dtype=torch.bfloat16)}


@pytest.mark.parametrize(
    "state",
    [STATE, torch.nn.BatchNorm2d(3).state_dict(), dict(torch.nn.Linear(2, 3).named_parameters())],
    ids=["tensors", "state dict", "parameters"],
)
def test_state_dicts_are_taken(state):
    check_content("model.pt", "models/model.pt", saved(state))
    check_content("model.pt", "models/model.pt", repacked(saved(state)))


def overlapping(data):
    """Many parts of an archive in the place of one: a directory that lists it again and again."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
        for number in range(100):
            other = zipfile.ZipInfo(info.filename.replace("data/0", f"data/{number + 50}"))
            other.header_offset, other.CRC = info.header_offset, info.CRC
            other.compress_size = other.file_size = info.file_size
            archive.filelist.append(other)
        archive.writestr("archive/last", b"")
    return buffer.getvalue()


NOT_LOADED = {
    "a call": lambda: saved({"weight": Calls(print, "was run")}),
    "a call that torch allows": lambda: saved({"weight": Calls(bytearray, 10**11)}),
    "a call by another protocol": lambda: repacked(
        saved(STATE),
        lambda name, data: pickle.dumps(Calls(bytearray, 10**11), 4) if name.endswith("data.pkl") else data,
    ),
    "compressed": lambda: repacked(saved({"weight": torch.zeros(1000)}), kind=zipfile.ZIP_DEFLATED),
    "overlapping": lambda: overlapping(saved({"weight": torch.zeros(1000)})),
    "countless parts": lambda: saved(STATE) + b"PK\1\2" * 60_000,
    "a bare pickle": lambda: pickle.dumps({"weight": 1}),
    "a bare pickle before an archive": lambda: pickle.dumps({"weight": 1}) + saved(STATE),
    "a text": lambda: b"weights",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("kind", NOT_LOADED)
def test_what_could_run_or_fill_the_memory_is_not_loaded(kind, capsys):
    data = NOT_LOADED[kind]()
    tracemalloc.start()
    with pytest.raises(DataError, match="^here: is no state dict that can be loaded without running code"):
        check_content("here", "models/model.pt", data)
    assert tracemalloc.get_traced_memory()[1] < 20 * 1024**2
    tracemalloc.stop()
    assert "was run" not in "".join(capsys.readouterr())


def test_more_than_tensors_is_no_state_dict():
    with pytest.raises(DataError, match="holds more than tensors"):
        check_content("here", "models/model.pt", saved({"optimizer": {"lr": 0.1}}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": {"_target_": "x", "\\u005ftarget_": "y"}}', "has the key '_target_' twice"),
        ('{"a": 1, "a": 1}', "has the key 'a' twice"),
        ("[" * 33 + "]" * 33, "deeper than 32"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, ""),
        ("1" * 5000, "4300"),
        ("{", "Expecting"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin1"), "Expecting"),
    ],
)
def test_json_that_says_two_things_or_goes_too_deep(text, reason):
    with pytest.raises(DataError, match=f"is not the text that its name says .*{reason}"):
        check_content("here", "configs/train.json", text.encode())


def test_json_is_read_as_it_is():
    assert read_json(b'{"a": [{"b": 1}, 2.5, null, "\\u00e9"], "c": {}}') == {"a": [{"b": 1}, 2.5, None, "é"], "c": {}}
    assert read_json(b"[" * 32 + b"]" * 32)
