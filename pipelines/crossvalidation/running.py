"""Runs of MONAI's bundle command, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from transforms import DataError

from ..bundle import Bundle


def run_bundle(bundle: Bundle, files: Sequence[str], run_id: str, settings: Mapping[str, Any]) -> None:
    """Run a bundle's configuration in a process, as by hand, so that no run inherits another's state.

    Args:
        bundle: what is run.
        files: configurations and overlays, see :meth:`pipelines.bundle.Bundle.files`.
        run_id: the key of the configuration that is run.
        settings: values that win over the files; ``manifest`` is one of them.

    Raises:
        DataError: if it fails; why is in its own log.
    """
    arguments = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(list(files))]
    for key, value in {"bundle_root": bundle.root, **settings}.items():
        arguments += [f"--{key}", str(value)]
    if subprocess.run(arguments).returncode:
        raise DataError(f"{run_id} with {settings['manifest']} failed: see above. What other folds gave is kept.")
