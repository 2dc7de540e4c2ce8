"""Starts MONAI Label with bundles in it: prepares the application's folder and the server's settings.

Knows MONAI Label's command line and settings; what runs inside the server is in app.py.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from networks import read_checkpoint
from transforms import RADIOGRAPHS, DataError
from transforms.files.atomic import atomic_write

from ..bundle import Bundle
from .guard import SETTINGS, check_origin

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
SHORTEST_TOKEN = 16  # characters
SERVED = "pipelines.label.served:app"
EXTENSIONS = ("*.nii.gz", "*.nii", "*.png", "*.jpg", "*.jpeg", "*.dcm")
SAMPLE_APP = Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle"
MAIN = '''"""MONAI Label's application monaibundle, with what radiographs and DICOM stores need beside it."""

from pipelines.label.app import RadiologyApp  # first: it makes monailabel importable beside torch for CPUs

import monaibundle
from monailabel.interfaces.app import MONAILabelApp


class App(RadiologyApp, monaibundle.MyApp, MONAILabelApp):
    pass
'''


def start_server(
    bundles: Sequence[Bundle],
    studies: str,
    app: os.PathLike | str,
    port: int = 8000,
    origins: Sequence[str] = (),
    token: os.PathLike | str | None = None,
) -> NoReturn:
    """Prepare MONAI Label's application, and become its server, for this machine alone, until it is stopped.

    The folders of the bundles are linked into the application, not copied: what is trained there is in the bundle
    afterwards, as a training by command would leave it.

    Args:
        bundles: each needs its ``models/model.pt``.
        studies: a folder of images, or the URL of a DICOMweb service.
        app: the folder of the application; made, or brought up to date.
        port: of the server.
        origins: of web pages, other than the server's own, that may use it, see :class:`pipelines.label.guard.Guard`.
        token: a file with the token that requests must bear, see :func:`read_token`.

    Raises:
        DataError: if MONAI Label is not installed, a bundle has no weights, the folder of images is missing, or an
            origin or the token is none.
        WeightsError: if a bundle's weights are not those that its ``model.json`` describes.
    """
    if find_spec("monailabel") is None:
        raise DataError(
            "MONAI Label is not installed here. It needs an environment of its own, since it pins old versions: "
            "python -m venv label && label/bin/pip install -e '.[label]', then label/bin/python -m pipelines label ..."
        )
    if len({bundle.name for bundle in bundles}) < len(bundles):
        roots = ", ".join(str(bundle.root) for bundle in bundles)
        raise DataError(f"two of the bundles {roots} have one name, by which they are served.")
    for bundle in bundles:
        if not bundle.weights.is_file():
            raise DataError(f"{bundle.weights}: no such file, and MONAI Label needs it. Train the bundle first.")
        read_checkpoint(bundle.weights)  # are they those that model.json describes?
    remote = studies.startswith(("http://", "https://"))
    if not remote and not Path(studies).is_dir():
        raise DataError(f"{studies}: no such folder. Give a folder of images, or the URL of a DICOMweb service.")
    folder = prepare_app([bundle.root.resolve() for bundle in bundles], Path(app).resolve())
    names = ",".join(bundle.name for bundle in bundles)
    scored = ",".join(bundle.name for bundle in bundles if bundle.gives_probabilities)
    served = [(bundle.modality,) if bundle.is_volumetric else RADIOGRAPHS for bundle in bundles]
    modalities = ",".join(dict.fromkeys(modality for group in served for modality in group))
    settings = {
        "models": names,
        "modalities": modalities,
        # both keep it from fetching lists and weights of models that were not asked for
        "zoo_source": "ngc",
        "sam2": "false",
    }
    if scored:  # by how unsure the network is; it needs probabilities, and CT bundles give labels
        settings["epistemic_model"] = scored
    conf = [word for pair in settings.items() for word in ("--conf", *pair)]
    where = ["--app", str(folder), "--studies", studies if remote else str(Path(studies).resolve())]
    command = ["start_server", *where, "--host", HOST, "--port", str(port), "--uvicorn_app", SERVED, *conf]
    guard = {"port": port, "origins": [check_origin(origin) for origin in origins]}
    if token is not None:
        guard["token"] = read_token(token)
    environment = {"MONAI_LABEL_DATASTORE_FILE_EXT": json.dumps(EXTENSIONS)} | dict(os.environ)
    environment[SETTINGS] = json.dumps(guard)  # not on the command line, which all users of a machine can read
    login = "no login" if token is None else f"the token, or the password, is in {token}"
    logger.info("MONAI Label with %s: http://%s:%d, for this machine alone, %s", names, HOST, port, login)
    os.chdir(folder)
    # replaces this process, so that what stops it stops the server
    os.execve(sys.executable, [sys.executable, "-m", "monailabel.main", *command], environment)


def read_token(path: os.PathLike | str) -> str:
    """The token in a file, which is made with a random one, for its owner alone, if it is missing.

    Raises:
        DataError: if others may read the file, or what is in it is too short or more than a word.
    """
    path = Path(path)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise DataError(f"{path}: the token cannot be written there ({error.strerror}). Give another file.") from error
    else:
        with open(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    if path.stat().st_mode & 0o077:
        raise DataError(f"{path}: others may read the token. Run chmod 600 {path}, and use another token.")
    token = path.read_text(encoding="utf-8").strip()
    if len(token) < SHORTEST_TOKEN or not re.fullmatch(r"[!-~]+", token):
        raise DataError(
            f"{path}: the token is shorter than {SHORTEST_TOKEN} characters, or more than a word of ASCII. Remove the "
            "file, and one is made."
        )
    return token


def prepare_app(roots: Sequence[Path], folder: Path) -> Path:
    """Make the application's folder: MONAI Label's own monaibundle, our class on top of it, links to the bundles."""
    if not SAMPLE_APP.is_dir():
        raise DataError(f"{SAMPLE_APP}: MONAI Label's application is missing. Install monailabel again.")
    shutil.copytree(SAMPLE_APP, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model", "logs", "main.py"))
    shutil.copyfile(SAMPLE_APP / "main.py", folder / "monaibundle.py")
    with atomic_write(folder / "main.py") as file:
        file.write(MAIN)
    models = folder / "model"
    models.mkdir(exist_ok=True)
    for root in roots:
        link = models / root.name
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            raise DataError(f"{link}: is in the way of a link to {root}. Remove it, or give another --app.")
        link.symlink_to(root, target_is_directory=True)
    return folder
