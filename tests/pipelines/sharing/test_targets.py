"""The Python that bundles may name: what this project's bundles name, and nothing of MONAI that could run code."""

from __future__ import annotations

import ast
import json
import re
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from monai.bundle import ComponentLocator

from pipelines.sharing.configuration import not_allowed
from pipelines.sharing.content import read_json
from pipelines.sharing.targets import NAMES, TARGETS
from tests.conftest import ROOT
from transforms import DataError

# What runs code, finds code by a text, reads pickles, fetches or changes files
POWERS = re.compile(
    r"\b(eval|exec|locate|import_module|__import__|instantiate|urlopen|urlretrieve|load_state_dict_from_url|run_cmd)\("
    r"|\b(torch|np|numpy|pickle|marshal)\.loads?\(|subprocess\.|os\.(system|exec|remove)|shutil\.|allow_pickle"
    r"|(?<![\w.])open\(|download\w*\("
)


def named(value):
    """Of a JSON value the names of Python in it: targets, and readers and writers by name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "_target_" or (key in ("reader", "writer") and isinstance(inner, str) and inner[0] not in "@$"):
                yield inner
            yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def test_the_list_is_what_this_projects_bundles_name():
    found = {name for path in ROOT.glob("bundles/*/configs/*.json") for name in named(read_json(path.read_bytes()))}
    assert found == TARGETS


@pytest.fixture(scope="module")
def registry():
    """All that MONAI finds by a bare name, with the objects."""
    locator = ComponentLocator()
    locator.get_component_module_name("")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: [getattr(import_module(module), name) for module in modules]
            for name, modules in locator._components_table.items()
        }


def refused(target):
    """Whether a component of this target is refused."""
    data = json.dumps({"evil": {"_target_": target}}).encode()
    return [("evil::_target_", target)] == not_allowed("x", "configs/train.json", data)


def test_of_all_that_monai_finds_by_name_only_the_list_passes(registry):
    assert len(registry) > 2000
    assert {name for name in registry if not refused(name)} == set(NAMES["monai"].split())
    for name, objects in registry.items():
        assert all(refused(f"{found.__module__}.{name}") for found in objects)


def test_what_of_monai_has_powers_is_not_in_the_list(registry):
    strong = set()
    for module in {found.__module__ for objects in registry.values() for found in objects}:
        source = Path(import_module(module).__file__).read_text()
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                text = re.sub(r'"""[\s\S]*?"""', "", "\n".join(lines[node.lineno - 1 : node.end_lineno]))
                strong |= {node.name} if POWERS.search(text) else set()
    # the search finds what is known to have powers
    assert {"load", "PersistentDataset", "NumpyReader", "LoadImage", "SaveImage", "instantiate", "run_cmd"} <= strong
    # PIL's open reads pictures
    assert strong & TARGETS <= {"PILReader"}


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "subprocess.Popen", "builtins.exec", "exec", "eval", "open", "__import__", "breakpoint", "code"),
        *("torch.load", "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter", "torch.utils.model_zoo"),
        *("numpy.load", "np.load", "numpy.lib.npyio.NpzFile", "pickle.load", "joblib.load", "pandas.read_pickle"),
        *("monai.bundle.run", "monai.bundle.ConfigParser", "monai.bundle.download", "monai.utils.module.locate"),
        *(
            "monai.transforms.io.array.locate",
            "monai.transforms.LoadImaged.__init__.__globals__",
            "torch.optim.os.system",
        ),
        *("transforms.files.atomic.os.system", "pipelines.sharing.export.export", "networks.os.system", "ignite"),
        *(
            "LoadImaged ",
            " LoadImaged",
            "loadimaged",
            "LoadImaged.__call__",
            "\uff2coadImaged",
            "",
            "@name",
            "$name",
            "%name",
        ),
    ],
)
def test_dangerous_names_and_near_misses_are_refused(target):
    assert refused(target)


@pytest.mark.parametrize("value", ["1", "null", "true", '["os.system"]', '{"a": 1}'])
def test_a_target_is_a_name(value):
    with pytest.raises(DataError, match="_target_ is no name"):
        not_allowed("x", "configs/train.json", b'{"evil": {"_target_": %s}}' % value.encode())
