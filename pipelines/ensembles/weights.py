"""Which weights predict: those of one file, or of all models of a cross-validation."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from networks import WeightsError, read_fitted
from transforms import DataError

from ..bundle import Bundle
from ..dicom.algorithm import Algorithm
from ..provenance import weights_hash

logger = logging.getLogger(__name__)

RESULT = "cross_validation.json"  # a cross-validation's last file
REFUSED = {  # with an ensemble, and why
    "weights": "its weights are those of the folds",
    "calibrated": "a temperature is fitted to a single model's weights, not to the mean of several",
}


@dataclass(frozen=True)
class ChosenWeights:
    """The weights that predict.

    Attributes:
        algorithm: the bundle with them, as DICOM objects name it.
        told: what a summary says of them: ``file`` and ``sha256``; of an ensemble, ``files``, each with its ``sha256``,
            the ``sha256`` of these, and ``left_out``, what was fitted to single ones of them and is not used.
        fitted: what of the JSON file beside them the outputs depend on.
    """

    algorithm: Algorithm
    told: dict[str, Any]
    fitted: dict[str, Any]


def choose_weights(
    bundle: Bundle, parser: ConfigParser, ensemble: os.PathLike | str | None, given: Mapping[str, Any]
) -> ChosenWeights:
    """Find the weights of an inference; for an ensemble, its configuration is changed to use them.

    Args:
        bundle: what predicts.
        parser: of its ``inference.json``.
        ensemble: the output folder of a cross-validation; None: the weights that the configuration names.
        given: settings that the user gave, among which ``weights`` and ``calibrated`` do not go with an ensemble.

    Raises:
        DataError: as :func:`ensemble_of`, or if such a setting was given.
        WeightsError: if a file of weights is missing.
    """
    if ensemble is None:
        path = Path(parser.get_parsed_content("weights"))
        if not path.is_file():
            raise WeightsError(f"{path}: no such file. Train first, or give the file of another training.")
        algorithm = bundle.algorithm(path)
        fitted = {name: value for name, value in read_fitted(path).items() if name in ("quality", "classifier")}
        return ChosenWeights(algorithm, {"file": str(path), "sha256": algorithm.weights}, fitted)
    for name in (name for name in REFUSED if given.get(name)):
        raise DataError(f"--{name} does not go with an ensemble: {REFUSED[name]}. Leave out one of the two.")
    files = ensemble_of(bundle, ensemble)
    parser.update(pairs=ensemble_overlay(parser, files))
    digest = str(weights_hash(files))
    left_out = sorted(set().union(*map(read_fitted, files)) - {"calibrated_on"})
    if left_out:
        logger.warning("%s: fitted to single models and not used by their ensemble: %s", ensemble, ", ".join(left_out))
    told = {"files": [{"file": str(file), "sha256": weights_hash(file)} for file in files]}
    version = f"{bundle.metadata['version']}, weights {digest[:12]} of {len(files)} models"
    algorithm = Algorithm(bundle.metadata["name"], version, digest)
    return ChosenWeights(algorithm, {**told, "sha256": digest, "left_out": left_out}, {})


def ensemble_of(bundle: Bundle, folder: os.PathLike | str) -> list[Path]:
    """The files of weights of a cross-validation, in the order of its folds.

    Args:
        bundle: whose models these must be.
        folder: the output folder of the cross-validation.

    Raises:
        DataError: if the bundle gives no probabilities; or the folder does not hold a cross-validation of it that has
            come to its end.
        WeightsError: if a fold has no weights.
    """
    folder = Path(folder)
    if not bundle.gives_probabilities:
        raise DataError(
            f"{bundle.name}: gives labels of several classes and cannot be cross-validated, so it has no ensemble. "
            "Leave out --ensemble."
        )
    try:
        folds = json.loads((folder / RESULT).read_text(encoding="utf-8"))["folds"]
        of = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["evaluated"]["settings"]["bundle"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: is not the output folder of a cross-validation that has come to its end. Give the one of "
            f"python -m pipelines crossvalidate {bundle.name}; given again, that command goes on where it was stopped."
        ) from error
    if of != bundle.name:
        raise DataError(f"{folder}: is a cross-validation of {of}, not of {bundle.name}. Give one of {bundle.name}.")
    files = [folder / f"fold_{number}" / "models" / "model.pt" for number in range(folds)]
    for file in files:
        if not file.is_file():
            raise WeightsError(
                f"{file}: no such file. An ensemble needs the model of each fold: give the folder of the "
                "cross-validation that has trained them, or copy the models back."
            )
    return files


def ensemble_overlay(parser: ConfigParser, files: Sequence[os.PathLike | str]) -> dict[str, Any]:
    """What changes in a bundle's inference or evaluation for it to use the mean of several models.

    Args:
        parser: of the configuration, with all that was given for it.
        files: of the models' weights.

    Returns:
        ``weights``, the list of files; ``network_def``, a :class:`~pipelines.ensembles.mean_network.MeanNetwork` of the
        configured network, each with its weights, which are checked as those of a single network are;
        ``initialize`` without their loading; and nothing in the place of what was fitted to single weights.
    """
    config = parser.get()
    settings = {name: f"@settings#{name}" for name in config["settings"]}
    load = {"_target_": "networks.load_weights", "force": "@force_weights", **settings}
    networks = [
        {**load, "network": copy.deepcopy(config["network_def"]), "path": f"@weights#{number}"}
        for number in range(len(files))
    ]
    overlay: dict[str, Any] = {
        "weights": [str(file) for file in files],
        "network_def": {"_target_": "pipelines.MeanNetwork", "networks": networks},
        "initialize": [step for step in config["initialize"] if "@weights" not in step],
    }
    fitted = {"quality": "quality", "classifier": "classifier#fitted"}
    return overlay | {key: None for name, key in fitted.items() if name in config}
