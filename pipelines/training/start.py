"""What every run checks before it computes anything."""

from __future__ import annotations

import os
from collections.abc import Sequence

from networks import usable_device
from transforms import calling_parser, check_keys, check_writable, is_computed, prepare_console
from transforms.files.atomic import remove_unfinished

from ..bundle import Bundle
from ..provenance import SETTINGS
from .distributed import join_processes
from .log import check_mlflow


def start(
    bundle_root: os.PathLike | str, folders: Sequence[os.PathLike | str], join: bool = False, mlflow: str | None = None
) -> None:
    """Check what a run is given before it computes; from here on, errors for the user are shown plainly.

    Args:
        bundle_root: the bundle's folder.
        folders: they are made where missing; what killed runs left in them unfinished is removed.
        join: whether this is one of several processes, see :func:`pipelines.training.distributed.join_processes`.
        mlflow: where a record is to be kept, or None: reached before any image is read.

    Raises:
        DataError: if ``bundle_root`` is not a bundle, a folder cannot be written to, or MLflow cannot be reached; or as
            :func:`transforms.check_keys` and ``join_processes``.
        SettingError: if a device was named that cannot be used.
    """
    prepare_console()
    check_keys(Bundle(bundle_root).configs, known=SETTINGS.values())
    parser = calling_parser()
    if parser and (device := parser.get("device")) and not is_computed(device):
        usable_device(device)
    check_writable(folders)
    remove_unfinished(folders)
    if mlflow:
        check_mlflow(mlflow)
    if join:
        join_processes()
