"""The rules of the house: who imports whom, how large files and rooms are, and who knows what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("transforms", "networks", "pipelines")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST, LARGEST_ROOM = 300, 10
OPEN_ROOMS = ("transforms.files",)  # that other packages import from past the face
KNOW_DATA_SETS = ("pipelines/manifests", "pipelines/commands/manifest.py")
KNOW_DATA_SETS += ("pipelines/phantoms", "pipelines/commands/phantoms.py")  # which are drawn in their layouts
KNOW_DATA_SETS += ("pipelines/evaluation/rsna_score.py", "pipelines/prediction/submission.py")  # the challenge's score
DATA_SETS = ("rsna", "shenzhen", "montgomery", "trauma", "stage_2", "covid")
WRITERS = ("SaveMaskd", "SaveSegmentationd", "SaveReportd", "SaveRTStructd")


def name_of(path: Path) -> str:
    """A module's dotted name."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, absolute; those imported only for type checkers too."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            through_face = module in PACKAGES and module != path.parts[0]
            yield from ({module} if through_face else (f"{module}.{alias.name}" for alias in node.names))


def module_in(name: str) -> str | None:
    """The module of these packages that an imported name is or lies in."""
    while name:
        if (ROOT / name.replace(".", "/")).is_dir() or (ROOT / f"{name.replace('.', '/')}.py").is_file():
            return name
        name = name.rpartition(".")[0]
    return None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way_and_through_the_face(path):
    own = path.parts[0]
    allowed = {own} | ({"transforms", "networks"} if own == "pipelines" else set())
    for name in imports(path):
        package = name.partition(".")[0]
        if package in PACKAGES:
            assert package in allowed, f"{path} imports {name}"
        if package in PACKAGES and package != own:
            found = module_in(name)
            open_room = any(found == room or found.startswith(f"{room}.") for room in OPEN_ROOMS)
            assert found == package or open_room, f"{path} imports {name} past the face of {package}"


def test_no_module_imports_itself_by_way_of_others():
    edges = {}
    for path in MODULES:
        found = {module_in(name) for name in imports(path) if name.partition(".")[0] in PACKAGES}
        edges[name_of(path)] = {other for other in found if other and "." in other and not _is_face(other)}
    seen: dict[str, str] = {}

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way, module])
        if seen.get(module) != "done":
            for other in edges.get(module, ()):
                visit(other, (*way, module))
            seen[module] = "done"

    for module in edges:
        visit(module, ())


def _is_face(module: str) -> bool:
    return (ROOT / module.replace(".", "/") / "__init__.py").is_file()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_short_and_say_what_they_are_for(path):
    text = (ROOT / path).read_text()
    assert len(text.splitlines()) < LONGEST
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_rooms_are_small():
    rooms = {path.parent for path in MODULES}
    for room in rooms:
        files = [path for path in MODULES if path.parent == room and path.name not in ("__init__.py", "__main__.py")]
        assert len(files) <= LARGEST_ROOM, f"{room} has {len(files)} files"


def test_inner_rooms_open_with_a_docstring_alone():
    """Or a packaged bundle would carry whole rooms for one module."""
    for path in MODULES:
        if path.name == "__init__.py" and len(path.parts) > 2:
            assert len(ast.parse((ROOT / path).read_text()).body) == 1, path


def test_only_the_bundle_knows_how_its_folder_is_laid_out():
    assert {str(path) for path in MODULES if '"configs"' in _code(path)} == {"pipelines/bundle.py"}


def test_only_the_table_of_formats_names_the_writers():
    naming = set()
    for path in MODULES:
        tree = ast.parse((ROOT / path).read_text())
        strings = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if _has_docstring(node)}
        if path.name != "__init__.py" and any(w in s for w in WRITERS for s in strings if s not in docstrings):
            naming.add(str(path))
    assert naming == {
        "pipelines/prediction/formats.py",
        "pipelines/sharing/targets.py",
    }  # the latter lists all that bundles name


def test_only_manifests_know_data_sets_by_name():
    for path in MODULES:
        if not str(path).startswith(KNOW_DATA_SETS):
            found = re.findall(rf"(?<![a-z])({'|'.join(DATA_SETS)})", _names(path), re.IGNORECASE)
            assert not found, f"{path} knows {set(found)}"


OPENERS = re.compile(r"dcmread\(|\.pixel_array\b|Image\.open\(|nibabel\.load\(|imread\(|\bPILReader\b|\bITKReader\b")
BENCHMARK = "pipelines/timing/reading.py"  # times bare decoding, of files that it has drawn itself
USUAL_LOADER = "pipelines/timing/usual_loader.py"  # and a loader as people write one, of files that it has made


def test_only_the_room_of_files_opens_and_decodes_them():
    """Whatever reads an image goes by the limits on what decoding it may take."""
    opening = {str(path) for path in MODULES if OPENERS.search(_code(path)) and path.parent.name != "files"}
    assert opening == {BENCHMARK, USUAL_LOADER}


def _code(path: Path) -> str:
    return (ROOT / path).read_text()


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)


def _names(path: Path) -> str:
    """What the code of a module names and says, without docstrings, comments and imports."""
    tree = ast.parse(_code(path))
    for node in ast.walk(tree):
        if _has_docstring(node) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    kept = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in kept)


@pytest.mark.parametrize("path", [path for path in MODULES if path.name not in ("__init__.py",)], ids=name_of)
def test_every_module_has_its_test(path):
    if path.name == "__main__.py":
        return
    twin = ROOT / "tests" / path.parent / f"test_{path.name}"
    assert twin.is_file(), f"{twin.relative_to(ROOT)} is missing"


# What writes files, by the last part of its name, and the modules whose functions need not do it atomically
WRITING = {"write_text", "write_bytes", "to_csv", "to_json", "save", "savez", "savefig", "save_as", "tofile", "dump"}
WRITING |= {"copy", "copy2", "copyfile", "copytree", "move"}  # of shutil
INTO_SCRATCH = {"atomic_path", "atomic_write", "TemporaryDirectory"}
NOT_ATOMIC = {
    "pipelines/prediction/records.py",  # appends a line, and passes over one that was cut short
    "pipelines/phantoms/radiographs.py",  # both draw into a folder that appears once it is complete
    "pipelines/phantoms/ct.py",
    BENCHMARK,  # draws into a temporary folder
    "pipelines/timing/prediction.py",  # as do these
    "pipelines/timing/volumes.py",
    "pipelines/reporting/charts.py",  # into memory
    "pipelines/sharing/export.py",  # its `write` is given a temporary file
    "pipelines/label/server.py",  # copies MONAI Label's application anew at each start
}


def test_whatever_is_written_is_written_atomically():
    """A kill at any moment leaves the old file or the new one."""
    found = set()
    for path in MODULES:
        tree = ast.parse(_code(path))
        safe = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.With) and any(_last_name(item.context_expr) in INTO_SCRATCH for item in node.items)
            for inner in ast.walk(node)
        }
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        found |= {str(path) for call in calls if _writes(call) and id(call) not in safe}
    assert found == NOT_ATOMIC


def _last_name(node: ast.AST) -> str | None:
    called = node.func if isinstance(node, ast.Call) else None
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)


def _writes(call: ast.Call) -> bool:
    name = _last_name(call)
    if name in ("open", "ZipFile"):
        modes = [call.args[1]] if len(call.args) > 1 else [k.value for k in call.keywords if k.arg == "mode"]
        return any(isinstance(mode, ast.Constant) and set("wax+") & set(str(mode.value)) for mode in modes)
    if name in ("copy", "copy2", "copyfile", "copytree", "move"):
        return ast.unparse(call.func).startswith("shutil.")
    return name in WRITING
