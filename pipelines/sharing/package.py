"""A bundle in one file that runs without this project: configuration, weights, documents, and the Python it needs."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import re
import shlex
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from importlib.util import resolve_name
from pathlib import Path

from transforms import DataError
from transforms.files.atomic import atomic_path

from .. import MODULES
from ..bundle import WEIGHTS, Bundle
from .archive import MAX_FILES, PLAIN_FILE, UNIX, most_unpacked, sha256_of
from .bill_of_materials import BILL, bill_of_materials
from .configuration import not_allowed
from .content import CHECKSUMS, PACKAGES, SOURCES, check_content, check_name
from .signature import read_signer, sign

logger = logging.getLogger(__name__)

README = """# {name}
{description}. What it is, what it was trained on and how well it does: the [model card](docs/README.md). Licences:
[of the code](LICENSE), [of data and weights](docs/data_license.txt).

Install what it was tested with:
```
pip install {packages}
```
Run in this folder, to predict, train and evaluate:
```
python -m monai.bundle run --config_file configs/inference.json --dataset_dir DIR_OF_IMAGES --output_dir OUT
python -m monai.bundle run training --config_file configs/train.json
python -m monai.bundle run evaluating --config_file "['configs/train.json','configs/evaluate.json']"
```
Training and evaluation draw phantoms where no data are given with `--dataset_dir DIR --manifest FILE`. In MONAI Label,
put this folder below the application's `model/`. Commands that begin with `python -m pipelines`, which make manifests
among other things, need the project radbundles itself.
"""


def package(bundle: Bundle, out: os.PathLike | str, key: os.PathLike | str | None = None) -> Path:
    """Pack a bundle into a zip file, the same bytes each time; unpacked, its folder has the bundle's name.

    Args:
        bundle: what is packed, see :func:`files_of`.
        out: the file to write.
        key: the private key to sign it with, see :func:`~pipelines.sharing.signature.read_signer`.

    Returns:
        ``out``

    Raises:
        DataError: if the bundle lacks a file, or a package that its Python imports in ``required_packages_version``,
            if :func:`~pipelines.sharing.verify_package.verify` would refuse the result whatever it is told to allow,
            or if the key cannot sign.
    """
    out = Path(out)
    signer = read_signer(key) if key is not None else None
    files = files_of(bundle)
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    files[CHECKSUMS] = (json.dumps(checksums, indent=2) + "\n").encode()
    with atomic_path(out) as scratch:
        with zipfile.ZipFile(scratch, "w") as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(f"{bundle.name}/{name}")  # its date is 1 January 1980
                info.create_system, info.external_attr = UNIX, PLAIN_FILE  # whatever this system is
                archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, compresslevel=9)
        most = most_unpacked(scratch.stat().st_size)
        if len(files) > MAX_FILES or sum(map(len, files.values())) > most:
            raise DataError(f"{bundle.root}: has more than {MAX_FILES} files, or {most} bytes for what they shrink to.")
    weights = f"with weights, {WEIGHTS}" if WEIGHTS in files else f"without weights: there is no {WEIGHTS}"
    logger.info("%s: %d files, %.1f MB, %s", out, len(files), out.stat().st_size / 1e6, weights)
    logger.info("SHA-256 %s", sha256_of(out))
    named = {text for name, data in files.items() for _, text in not_allowed(name, name, data)}
    if named:
        logger.info("who verifies it must give: %s", " ".join(f"--allow {shlex.quote(name)}" for name in sorted(named)))
    if signer is not None:
        logger.info("signature: %s", sign(out, signer))
    return out


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """The files of a packaged bundle by their path in its folder, but for the checksums.

    They are the bundle's ``configs/``, ``docs/``, ``LICENSE`` and best model; :func:`common_files`; a README; and a
    bill of materials. ``bundle_root`` and the paths in the documents are changed to fit a folder of its own.

    Raises:
        DataError: as :func:`package`.
    """
    _, imported = _python()
    files = _of_bundle(bundle) | common_files()
    (metadata_file,) = bundle.files(["metadata"])
    versions = _versions(bundle.metadata, imported, metadata_file)
    packages = " ".join(f"{name}=={version}" for name, version in versions.items())
    about = {key: bundle.metadata[key] for key in ("name", "description")}
    files["README.md"] = README.format(**about, packages=packages).encode()
    files[BILL] = bill_of_materials(bundle.metadata, versions, files)
    return files


def common_files() -> dict[str, bytes]:
    """What all packages hold.

    Of this project, the Python of all that configurations name in ``networks``, ``pipelines`` and ``transforms``,
    without what only commands need; and the manifest's schema.
    """
    files, _ = _python()
    for path in (SOURCES / "data_manifests").glob("*.*"):
        files[f"data_manifests/{path.name}"] = path.read_bytes()
    return files


def _python() -> tuple[dict[str, bytes], set[str]]:
    return import_closure([*PACKAGES, *(f"pipelines.{module}" for module in MODULES.values())], SOURCES)


def _of_bundle(bundle: Bundle) -> dict[str, bytes]:
    """The bundle's own files, by their path in it, as they are to be packed."""
    root = bundle.root.resolve()
    files = {}
    for name in bundle.shipped():
        check_name(str(root / name), f"{root.name}/{name}")
        data = (root / name).read_bytes()
        check_content(str(root / name), name, data)
        not_allowed(str(root / name), name, data)  # it is for who verifies to allow
        if name.endswith(".json"):
            data = _root_here(data.decode(), root / name).encode()
        elif name.startswith("docs/") and name.endswith(".md"):
            # both READMEs that the documents point to are one folder nearer, and commands run in the bundle's folder
            data = data.decode().replace("](../../../", "](../").replace(f"bundles/{root.name}/", "").encode()
        files[name] = data
    return files


def _root_here(text: str, path: Path) -> str:
    """A configuration with ``.`` as its ``bundle_root``, and otherwise as it was, to the byte."""
    config = json.loads(text)
    if "bundle_root" not in config:
        return text
    changed = re.sub(r'("bundle_root"\s*:\s*)"[^"]*"', r'\1"."', text, count=1)
    if json.loads(changed) != config | {"bundle_root": "."}:
        raise DataError(f'{path}: set "bundle_root" to a plain path, before any other key of that name.')
    return changed


def import_closure(modules: Iterable[str], sources: Path) -> tuple[dict[str, bytes], set[str]]:
    """Follow imports by the source code, those inside functions too.

    Args:
        modules: names of the project's, such as ``pipelines.manifests.manifest``.
        sources: the folder that holds its packages.

    Returns:
        the project's Python that importing ``modules`` loads, by path below ``sources``; and the names of the other
        packages that this imports, without Python's own.
    """
    waiting, files, imported = list(modules), {}, set()
    while waiting:
        module = waiting.pop()
        package, _, _ = module.rpartition(".")
        top, _, _ = module.partition(".")
        if top not in PACKAGES:
            imported.add(top)
            continue
        if package:
            waiting.append(package)  # it is imported too, before what is in it
        path = sources.joinpath(*module.split("."))
        if path.is_dir():
            package, path = module, path / "__init__.py"
        else:
            path = path.with_suffix(".py")
        name = path.relative_to(sources).as_posix()
        if name not in files and path.is_file():  # else it is a name in a module, such as transforms.DataError
            files[name] = path.read_bytes()
            for node in ast.walk(ast.parse(files[name])):
                if isinstance(node, ast.Import):
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    base = resolve_name("." * node.level + (node.module or ""), package)
                    waiting += [f"{base}.{alias.name}" for alias in node.names]
    return files, imported - sys.stdlib_module_names


def _versions(metadata: dict, imported: set[str], path: str) -> dict[str, str]:
    """The packages that a packaged bundle needs, by the names of PyPI, with the versions that it was tested with."""
    versions = {short: metadata[f"{long}_version"] for short, long in (("torch", "pytorch"), ("monai", "monai"))}
    versions |= {"numpy": metadata["numpy_version"], **metadata["required_packages_version"]}
    providers = packages_distributions()
    lacking = [name for name in sorted(imported) if not set(providers.get(name, [name])) & set(versions)]
    if lacking:
        raise DataError(f"{path}: required_packages_version lacks {', '.join(lacking)}. Add what is imported.")
    return versions
