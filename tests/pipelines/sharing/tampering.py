"""Ways to change a package, as someone would who knows its format."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def unchanged(name: str, data: bytes) -> bytes:
    return data


def rewritten(
    path: Path,
    change: Callable[[str, bytes], bytes | None] = unchanged,
    more: Iterable[tuple[zipfile.ZipInfo, bytes]] = (),
    checksums: bool = True,
) -> Path:
    """A package with its files changed (None: left out), ``more`` added, and checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        files = {name: change(name, archive.read(name)) for name in archive.namelist() if "checksums" not in name}
    held = [(entry(name), data) for name, data in files.items() if data is not None] + list(more)
    if checksums:
        sums = {i.filename.partition("/")[2]: hashlib.sha256(data).hexdigest() for i, data in held}
        held.append((entry("small/checksums.json"), json.dumps(sums).encode()))
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in held:
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def with_config(path: Path, name: str, change: dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """A package, one of its configurations changed or with more keys."""

    def changed(file: str, data: bytes) -> bytes:
        if file != f"small/configs/{name}.json":
            return data
        config = json.loads(data)
        return json.dumps(change(config) if callable(change) else config | change, indent=2).encode()

    return rewritten(path, changed)


def with_file(path: Path, name: str, data: bytes) -> Path:
    """A package with one file in place of another."""
    return rewritten(path, lambda file, old: data if file == f"small/{name}" else old)


def tricks(target: str, call: str, command: str = "x") -> dict[str, dict[str, Any]]:
    """Configurations that have MONAI call ``target`` with ``command``, or evaluate ``call``, in ways that hide it."""
    return {
        "plain": {"evil": {"_target_": target}},
        "a key with ::": {"evil": {"command": command}, "evil::_target_": target},
        "a key with #": {"evil": {"command": command}, "evil#_target_": target},
        "a key before what it changes": {"a": {"evil": {}}, "b": 1, "a::evil::_target_": target},
        "both separators": {"a": {"evil": {"command": command}}, "a#evil::_target_": target},
        "into a list": {"a": [{"command": command}], "a::0::_target_": target},
        "an object by a key": {"a": {}, "a::evil": {"_target_": target}},
        "merged": {"evil": {"command": command}, "+evil": {"_target_": target}},
        "merged below": {"a": {"evil": {"command": command}}, "+a::evil": {"_target_": target}},
        "merged into a list": {"a": [1], "+a": [{"_target_": target}]},
        "merged into nothing": {"+evil": {"_target_": target}},
        "the root": {"+_target_": target},
        "the root again": {"_target_": target},
        "all else replaced": {"": {"evil": {"_target_": target}}},
        "merged with all": {"+": {"evil": {"_target_": target}}},
        "deep": {"a": [[{"b": [{"c": {"_target_": target}}]}]]},
        "escaped": json.loads('{"evil": {"\\u005ftarget\\u005f": "' + target + '"}}'),
        "by reference": {"name": target, "evil": {"_target_": "@name"}},
        "by two references": {"name": target, "other": "@name", "evil": {"_target_": "@other"}},
        "by a relative reference": {"evil": {"name": target, "inner": {"_target_": "@##name"}}},
        "by a macro": {"name": target, "evil": {"_target_": "%name"}},
        "an object by a macro": {"a": {"b": {"_target_": target}}, "evil": "%a::b"},
        "an object by a relative macro": {"a": {"b": {"_target_": target}, "evil": "%#b"}},
        "an object by a macro of a macro": {"a": {"_target_": target}, "b": ["%a"], "evil": "%b"},
        "by an expression": {"evil": {"_target_": f"$'{target}'"}},
        "by an expression on a text": {"name": target, "evil": call},
        "in metadata": {"evil": {"_target_": target, "_desc_": "harmless"}},
        "disabled by nothing": {"evil": {"_target_": target, "_disabled_": "$not True"}},
        "by mode": {"evil": {"_target_": target, "_mode_": "default"}},
        "as what another needs": {"a": {"_target_": "Compose", "_requires_": "@b"}, "b": {"_target_": target}},
        "in what another needs": {"a": {"_target_": "Compose", "_requires_": call}},
        "in a description": {"a": {"_target_": "Compose", "_desc_": call}},
        "in whether it is disabled": {"a": {"_target_": "Compose", "_disabled_": call}},
        "a reader by its name": {"a": {"_target_": "LoadImaged", "keys": "image", "reader": target}},
        "readers by their names": {"a": {"_target_": "LoadImaged", "keys": "image", "reader": ["PILReader", target]}},
        "a reader by reference": {"x": target, "a": {"_target_": "LoadImaged", "keys": "image", "reader": "@x"}},
        "a reader by a key": {"a": {"_target_": "LoadImaged", "keys": "image"}, "a::reader": target},
        "a writer by its name": {"a": {"_target_": "SaveImage", "output_dir": "x", "writer": target}},
        "imported": {"imports": ["$import os"], "evil": call},
    }


def generated(chance: Random, target: str, command: str = "x") -> dict[str, Any]:
    """Parts of an evil object spread over keys, separators, merges and macros, as chance has it."""
    path = [chance.choice(["a", "b", "0", "x.y", "_desc_", "reader"]) for _ in range(chance.randint(1, 3))]
    config: dict[str, Any] = {}
    where = config
    for part in path:
        inner = where.setdefault(part, {} if chance.random() < 0.8 else [{}])
        where = inner[0] if isinstance(inner, list) else inner
    where["command"] = command
    kind = chance.choice(["key", "object", "merge", "macro", "reference"])
    key = "".join(part + chance.choice(["::", "#"]) for part in path)
    key += chance.choice(["0::", "0#", "", ""])
    if kind == "key":
        config[chance.choice(["", "+"]) + key + "_target_"] = target
    elif kind == "object":
        config[key + "evil"] = {"_target_": target}
    elif kind == "merge":
        config["+" + key[:-2].rstrip(":#")] = {"_target_": target}
    elif kind == "macro":
        place = chance.choice(["a", "b", "c"])
        config |= {"store": [{"_target_": target}], place: chance.choice(["%store", "%store::0"])}
    else:
        config |= {"name": target, key + "_target_": chance.choice(["@name", "%name", "$@name"])}
    return config
