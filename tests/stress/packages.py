"""Hostile packages, which ``verify`` must tell of without running anything or filling the memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch

from pipelines.__main__ import main
from pipelines.sharing.archive import read_package
from tests.pipelines.sharing.conftest import copied, packaged
from tests.pipelines.sharing.tampering import entry, generated, rewritten, tricks, with_config, with_file
from transforms import DataError

from .apart import Apart, EndedError, peak_mb
from .mutants import ENDED, MEMORY, SILENT, STRAY

TOLD, NOTHING = "told", "nothing changed"
MOST_MB = 1500  # of which torch and MONAI take 500
CONFIGS = ("train", "inference", "evaluate")
MB = 1024**2


@dataclass
class Packages:
    """What came of hostile packages, by kind."""

    found: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    run: int = 0
    own_mb: int = 0


class Runs:
    """Pickled: a call of the system's shell when it is loaded."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


def _bytes(path: Path, chance: Random, command: str) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 4))):
        content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(content if chance.random() < 0.8 else content[: chance.randrange(len(content))])


def _trick(path: Path, chance: Random, command: str) -> None:
    found = tricks("os.system", f"$__import__('os').system({command!r})", command)
    with_config(path, chance.choice(CONFIGS), found[chance.choice(list(found))])


def _generated(path: Path, chance: Random, command: str) -> None:
    with_config(path, chance.choice(CONFIGS), generated(chance, "os.system", command))


def _expression(path: Path, chance: Random, command: str) -> None:
    code = f"__import__('os').system({command!r})"
    text = chance.choice((f"${code}", f"$({code}) and @epochs", f"$[x for x in [{code}]]", f"$import os; {code}"))
    with_config(path, chance.choice(CONFIGS), {chance.choice(("seed", "imports", "evil", "bundle_root")): text})


def _logging(path: Path, chance: Random, command: str) -> None:
    option = chance.choice(("args", "kwargs", "defaults", "class"))
    code = chance.choice((f"(__import__('os').system({command!r}),)", "FileHandler", f"{{'a': open({command!r})}}"))
    section = chance.choice(("handler_consoleHandler", "formatter_fullFormatter", "other"))
    with zipfile.ZipFile(path) as archive:
        text = archive.read("small/configs/logging.conf").decode()
    header = f"[{section}]\n"
    text = text.replace(header, f"{header}{option}={code}\n") if header in text else f"{text}{header}{option}={code}\n"
    with_file(path, "configs/logging.conf", text.encode())


def _weights(path: Path, chance: Random, command: str) -> None:
    buffer = io.BytesIO()
    kind = chance.randrange(5)
    if kind == 0:
        torch.save({"weight": Runs(command)}, buffer)
    elif kind == 1:
        buffer.write(pickle.dumps(Runs(command), chance.choice((0, 2, 4))))
    elif kind == 2:
        torch.save({"weight": torch.zeros(10**7)}, buffer)
        with (
            zipfile.ZipFile(io.BytesIO(buffer.getvalue())) as source,
            zipfile.ZipFile(other := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for name in source.namelist():
                target.writestr(name, source.read(name))
        buffer = other
    elif kind == 3:
        torch.save({"weight": torch.ones(3), "more": ["text", 1.5]}, buffer)
    else:
        torch.save({"weight": torch.ones(chance.randrange(1, 9))}, buffer)  # others than one's own, but harmless
    with_file(path, "models/model.pt", buffer.getvalue())


def _names(path: Path, chance: Random, command: str) -> None:
    names = (
        "small/../../evil.txt",
        "/tmp/evil.txt",
        "C:/evil.txt",
        "small\\..\\evil.txt",
        "evil.txt",
        "other/evil.txt",
    )
    names += ("small/docs/", "small/code.pkl", "small/model.ts", "small/json.py", "small/torch/__init__.py")
    names += ("small/docs/Readme.md", "small/.hidden.txt", "small/docs/new.txt", "small/\x1b[2Kevil.txt")
    mode = chance.choice((stat.S_IFREG, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR))
    rewritten(path, more=[(entry(chance.choice(names), mode | 0o644), chance.randbytes(chance.choice((0, 10))))])


def _python(path: Path, chance: Random, command: str) -> None:
    with zipfile.ZipFile(path) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
    name = chance.choice(sources).partition("/")[2]
    with_file(path, name, f"import os\nos.system({command!r})\n".encode())


def _json(path: Path, chance: Random, command: str) -> None:
    depth = chance.choice((33, 1000, 100_000))
    texts = ["[" * depth + "]" * depth, '{"a": ' * depth + "1" + "}" * depth, '{"a": 1, "a": 2}', "1" * 5000, "{", "\0"]
    texts += [json.dumps({str(n): n for n in range(100_000)}), json.dumps({"a": "x" * 2 * MB}), "[NaN]", "\xff"]
    name = chance.choice(("configs/train.json", "configs/metadata.json", "checksums.json", "models/model.json"))
    data = chance.choice(texts).encode("latin1")
    if name == "checksums.json":
        rewritten(path, more=[(entry(f"small/{name}"), data)], checksums=False)
    elif name == "models/model.json":
        rewritten(path, more=[(entry(f"small/{name}"), data)])
    else:
        with_file(path, name, data)


def _macros(path: Path, chance: Random, command: str) -> None:
    count = chance.randrange(10, 60)
    back = {f"a{n}": [f"%a{n - 1}", f"%a{n - 1}"] for n in range(1, count)}
    bombs = [
        {"a0": [0] * 10, **back},
        {"a": ["%b", "%b"], "b": ["%a", "%a"]},
        {"a": {"b": "%a"}},
        {"a": "%/etc/x.yaml"},
    ]
    with_config(path, chance.choice(CONFIGS), chance.choice(bombs))


def _bomb(path: Path, chance: Random, command: str) -> None:
    """A zip that unpacks to far more than it is, or than it says."""
    size, name = chance.choice((10, 80, 300)) * MB, chance.choice(("docs/x.png", "docs/x.txt", "models/other.pt"))
    start = b"\x89PNG\r\n\x1a\n" if name.endswith("png") else b""
    rewritten(path, more=[(entry(f"small/{name}"), start + bytes(size))])
    if chance.random() < 0.5:
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            at = archive.getinfo(f"small/{name}").header_offset
        small = struct.pack("<L", chance.choice((0, 1000)))
        content[at + 22 : at + 26] = small
        place = content.rindex(b"PK\1\2", 0, content.rindex(f"small/{name}".encode()))
        content[place + 24 : place + 28] = small
        path.write_bytes(content)


def _directory(path: Path, chance: Random, command: str) -> None:
    """A directory of more files than there are, or hidden files."""
    if chance.random() < 0.5:
        files = chance.choice((1001, 100_000))
        names = b"".join(b"PK\1\2" + bytes(24) + struct.pack("<H", 7) + bytes(16) + b"%07d" % n for n in range(files))
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, files % 2**16, files % 2**16, len(names), 0, 0)
        path.write_bytes(names + end)
        return
    with zipfile.ZipFile(path, "a") as archive:
        hidden = entry("small/hidden.txt")
        archive.writestr(hidden, chance.randbytes(10))
        archive.filelist.remove(hidden)


KINDS: dict[str, Callable[[Path, Random, str], None]] = {
    "changed bytes": _bytes,
    "`_target_` hidden by keys": _trick,
    "`_target_` hidden at random": _generated,
    "expressions": _expression,
    "`logging.conf`": _logging,
    "weights": _weights,
    "names and links": _names,
    "Python": _python,
    "JSON": _json,
    "macros": _macros,
    "zip bombs": _bomb,
    "directories": _directory,
}


def _prepare(folder: Path) -> None:
    os.chdir(folder)  # which has the bundle of the package's name


def _verify(prepared: None, path: Path) -> tuple[int | str, str, int]:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            code: int | str = main(["verify", str(path)])
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    return code, said.getvalue(), peak_mb()[0]


def verify_packages(number: int, seed: int, scratch: Path) -> Packages:
    """Make hostile packages of all kinds, as many of each, and have them verified."""
    found = Packages()
    own = copied(scratch / "bundles" / "small")
    good = packaged(own, scratch / "good.zip")
    content, holds = good.read_bytes(), read_package(good)
    process, canary = Apart(_verify, _prepare, scratch), scratch / "canary"
    if (said := process(good))[0] != 0:
        raise RuntimeError(f"the package that is to be tampered with is not taken: {said}")
    try:
        for n in range(number):
            kind = list(KINDS)[n % len(KINDS)]
            path = scratch / "small.zip"
            path.write_bytes(content)
            KINDS[kind](path, Random(f"{kind} {seed + n}"), f"touch {canary}")
            try:
                code, said, mb = process(path)
            except EndedError as error:
                code, said, mb = str(error), "", 0
                outcome = ENDED
            else:
                outcome = TOLD if code == 1 else STRAY if isinstance(code, str) else SILENT
            if outcome == SILENT and _same(path, holds):
                outcome = NOTHING
            if mb > MOST_MB:
                outcome = MEMORY
                process.close()
            found.own_mb = max(found.own_mb, mb)
            if canary.exists():
                found.run += 1
                canary.unlink()
                found.faults.append(f"was run: {kind}, {seed + n}")
            found.found.setdefault(kind, Counter())[outcome] += 1
            if outcome not in (TOLD, NOTHING) or "Traceback" in said:
                found.faults.append(f"{outcome}: {kind}, {seed + n}: {code}, {mb} MB: {said[-500:]}")
    finally:
        process.close()
    return found


def _same(path: Path, holds: object) -> bool:
    """Whether a package holds what it held: some bits of what is packed mean nothing."""
    try:
        return read_package(path) == holds
    except DataError:
        return False
