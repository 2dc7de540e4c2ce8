"""A bundle on disk: where its files are, what it is, its configuration. Only this module knows the folder's layout."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser

from networks import read_fitted
from transforms import DataError
from transforms.files.atomic import writing

from .dicom.algorithm import Algorithm

CT = "CT"  # the modality of volumes; all others are radiographs
CONFIGS = "configs"
REQUIRED = (  # of a bundle that is passed on
    "LICENSE",
    *(f"{CONFIGS}/{name}.json" for name in ("metadata", "train", "multi_gpu_train", "evaluate", "inference")),
    "docs/README.md",
    "docs/data_license.txt",
)
# what travels of docs/
DOCS = ("README.md", "data_license.txt", "figures.json", "patients.csv", "licences.csv", "image_sets.csv")
WEIGHTS, ABOUT_WEIGHTS = "models/model.pt", "models/model.json"
SHIPPED = Path(__file__).resolve().parents[1] / "bundles"  # beside the packages, in a clone and where pip puts them
IN_CLONE = (SHIPPED.parent / "pyproject.toml").is_file()  # and not what pip has installed
OUTLINE = ("outline", "share_of_peak")  # ids of what changes probabilities after the network, where a bundle has any
OF_A_SERVER = f"{CONFIGS}/monailabel_train.json"  # MONAI Label writes it, and it names the server's images


def evaluated_with(overlays: Sequence[str] = (), evaluation: Sequence[str] = ()) -> list[str]:
    """The names of an evaluation's configurations, the last of which wins: its training's, and what it alone has."""
    return ["train", *overlays, "evaluate", *evaluation]


class Bundle:
    """A bundle's folder.

    Args:
        root: the folder.

    Raises:
        DataError: if it is not a bundle.
    """

    def __init__(self, root: os.PathLike | str):
        self.root = Path(root)
        if not self._path("metadata").is_file():
            raise DataError(
                f"{self.root.absolute()}: is not a bundle. Run the command in the folder that holds bundles/, or give "
                "the bundle's folder with --bundle_root."
            )

    @classmethod
    def find(cls, bundle: os.PathLike | str, to_change: bool = False) -> Bundle:
        """A bundle by its folder; by its name below ``bundles/`` in the working folder; or by its name in ``SHIPPED``.

        Args:
            bundle: the folder or the name.
            to_change: whether something will be written into the bundle's folder, which what pip installed is not for.

        Raises:
            DataError: if there is none, or it is not to be changed.
        """
        for root in (Path(bundle), Path("bundles") / bundle, SHIPPED / bundle):
            if (root / CONFIGS / "metadata.json").is_file():
                if to_change and not IN_CLONE and root.resolve().is_relative_to(SHIPPED):
                    raise DataError(
                        f"{root}: is installed, and this command writes into the bundle's folder. Make a copy of your "
                        f"own, and give the command again: radbundles init bundles {root.name}"
                    )
                return cls(root)
        raise DataError(
            f"{bundle}: no such bundle, neither a bundle's folder nor a name below bundles/. There are "
            f"{', '.join(cls.names())}."
        )

    @staticmethod
    def names() -> list[str]:
        """The names in ``SHIPPED``."""
        return sorted(path.parents[1].name for path in SHIPPED.glob(f"*/{CONFIGS}/metadata.json"))

    def copy(self, folder: os.PathLike | str) -> Path:
        """Copy what is :meth:`shipped` of it into a folder of its name below ``folder``, which appears complete.

        Raises:
            DataError: if it is there already, or cannot be written.
        """
        target = Path(folder) / self.name
        if target.exists():
            raise DataError(f"{target}: is there already, and is kept. Give another folder.")
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder, prefix=".unfinished-") as scratch:
                for name in self.shipped():
                    copied = Path(scratch, self.name, name)
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.root / name, copied)
                os.rename(Path(scratch, self.name), target)
        return target

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.resolve().name

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What ``configs/metadata.json`` holds."""
        return json.loads(self._path("metadata").read_text(encoding="utf-8"))

    @property
    def modality(self) -> str:
        """``"CT"``, with volumes as images, or that of radiographs."""
        return self.metadata["network_data_format"]["inputs"]["image"]["modality"]

    @property
    def is_volumetric(self) -> bool:
        """Whether its images and masks have three axes."""
        return self.modality == CT

    @property
    def classes(self) -> list[str]:
        """What the network tells apart, the background first."""
        return list(self.metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values())

    @property
    def gives_probabilities(self) -> bool:
        """Whether it keeps the probability of its one class, or gives labels of several."""
        return len(self.classes) == 2

    @property
    def finds_boxes(self) -> bool:
        """Whether it is made for boxes around findings, beside masks."""
        return "boxes" in self.metadata["outputs"]

    @property
    def segments(self) -> list[dict[str, Any]]:
        """Of each label from 1 on, how DICOM names it."""
        return self.metadata["dicom_segments"]

    @property
    def weights(self) -> Path:
        """The file of its best model, which need not be there."""
        return self.root / WEIGHTS

    @property
    def card(self) -> Path:
        """Its model card."""
        return self.root / "docs" / "README.md"

    @property
    def figures(self) -> Path:
        """Where the figures of its model card are from; it need not be there."""
        return self.root / "docs" / "figures.json"

    @property
    def configs(self) -> Path:
        """The folder of its configurations."""
        return self.root / CONFIGS

    @property
    def logging(self) -> Path:
        """Its logging configuration."""
        return self.configs / "logging.conf"

    def shipped(self) -> list[str]:
        """The files that are passed on with the bundle, by their path in its folder; hidden ones are left out.

        Of ``docs`` it is ``DOCS`` alone: a file of one's own beside them may be of patients.

        Raises:
            DataError: if one that is required is missing.
        """
        missing = [name for name in REQUIRED if not (self.root / name).is_file()]
        if missing:
            raise DataError(f"{self.root / missing[0]}: no such file. A bundle that is passed on needs it.")
        names = ["LICENSE", *(name for name in (WEIGHTS, ABOUT_WEIGHTS) if (self.root / name).is_file())]
        names += [f"docs/{name}" for name in DOCS if (self.root / "docs" / name).is_file()]
        paths = (path.relative_to(self.root) for path in self.configs.rglob("*") if path.is_file())
        names += [path.as_posix() for path in paths if not path.name.startswith(".")]
        return [name for name in names if name != OF_A_SERVER]

    def algorithm(self, weights: os.PathLike | str) -> Algorithm:
        """The bundle with a file of weights, as DICOM objects name it."""
        digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        version = f"{self.metadata['version']}, weights {digest[:12]}"
        return Algorithm(self.metadata["name"], version, digest)

    def temperature(self, weights: os.PathLike | str, inference: ConfigParser) -> float:
        """What was fitted to weights to make their probabilities as sure as they should be, see ``calibrate``.

        Args:
            weights: the file that the inference takes.
            inference: the bundle's, with its overlays.

        Raises:
            DataError: if nothing was, it is no temperature, the bundle gives no probabilities, or an overlay outlines
                them otherwise than the bundle does, with which temperatures are fitted.
        """
        if not self.gives_probabilities:
            raise DataError(f"{self.name}: gives labels, not probabilities: leave out --calibrated.")
        if changed := self.changed(inference, OUTLINE):
            raise DataError(
                f"{self.name}: {changed[0]} is not as in inference.json, with which the temperature was fitted. Leave "
                "out --calibrated, or what changes it."
            )
        fitted = read_fitted(weights)
        if "temperature" not in fitted:
            raise DataError(
                f"{weights}: no temperature was fitted to these weights. Run python -m pipelines calibrate first, or "
                "leave out --calibrated."
            )
        temperature = fitted["temperature"]
        if type(temperature) not in (int, float) or not 0 < temperature < math.inf:
            raise DataError(
                f"{Path(weights).with_suffix('.json')}: its temperature must be a number above 0. Copy the file again, "
                "or run python -m pipelines calibrate again."
            )
        return temperature

    def files(self, names: Sequence[str]) -> list[str]:
        """The paths of configurations and overlays, as MONAI's bundle commands take them.

        Raises:
            DataError: if one is missing.
        """
        for name in names:
            if not self._path(name).is_file():
                raise DataError(
                    f"{self._path(name)}: no such overlay. Give the name of a file of {self._path(name).parent}, "
                    "without .json."
                )
        return [str(self._path(name)) for name in names]

    def read(self, names: Sequence[str], **overrides: Any) -> ConfigParser:
        """A configuration with its overlays and the metadata, to be asked for what it describes.

        Args:
            names: of the configuration and its overlays, without ``.json``; the last one wins.
            overrides: values that win over all of them, as ``image_size`` or ``network_def#network#channels``.

        Raises:
            DataError: if a file is missing.
        """
        parser = ConfigParser()
        parser.read_config(self.files(names))
        parser.read_meta(self._path("metadata"))
        parser.update(pairs={"bundle_root": str(self.root), **overrides})
        return parser

    def changed(self, inference: ConfigParser, ids: Sequence[str]) -> list[str]:
        """Those of the ids that overlays or overrides have made another thing of than the bundle's own inference is."""
        own = self.read(["inference"])
        return [name for name in ids if inference.get(name) != own.get(name)]

    def _path(self, name: str) -> Path:
        return self.configs / f"{name}.json"
