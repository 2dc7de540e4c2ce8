"""A bundle's model for programs: loaded once, it takes images from files or from memory and gives what it found.

The command ``predict`` goes the same way: :class:`Inference`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, LoadImaged
from monai.utils import convert_to_dst_type
from pydicom.dataset import Dataset

from transforms import Box, DataError, HeldRadiograph, check_keys, find_image, mask_to_boxes, plain_error

from ..bundle import Bundle
from ..engines.flow import cores, flow
from ..ensembles.weights import choose_weights
from .batches import PerThread

Data = dict[Hashable, Any]
Image = os.PathLike | str | Sequence[os.PathLike | str] | Dataset | np.ndarray
BATCH_SIZES = (8, 32)  # on a CPU, and on a GPU

# What of a bundle's `initialize` is for a program that writes files, and not for what only computes
OF_PROGRAMS = re.compile(r"\b(prepare_console|check_writable)\b")


class Inference:
    """A bundle's network with its weights, and what its ``inference.json`` does before and after it.

    Images go through it as MONAI's dictionaries, of one shape where several go through the network together. Several
    threads may use it: :meth:`compute` is one thread's at a time, reading and finishing run beside it. What finishing
    asks of the network itself, as ``lungs`` does for its check, is one thread's at a time too, beside ``compute``.

    Args:
        parser: of the bundle's ``inference.json``. It is changed: what was made of it before is forgotten.
        boxes: whether it finds boxes.

    Raises:
        WeightsError: if the weights are missing or do not fit.
    """

    def __init__(self, parser: ConfigParser, boxes: bool):
        parser["initialize"] = [step for step in parser["initialize"] if not OF_PROGRAMS.search(str(step))]
        parser.parse(reset=True)
        parse = parser.get_parsed_content
        parse("initialize")
        self.network, self.inferer, self.device = parse("network_def"), parse("inferer"), torch.device(parse("device"))
        self.network.eval()
        preprocessing = parse("preprocessing")
        for step in Compose(preprocessing).flatten().transforms:
            if isinstance(step, LoadImaged):  # here, for a configuration may name its steps or compute them
                step._loader.expanduser = False  # an image in memory has no path
        self.preprocess, self.postprocess = PerThread(preprocessing), PerThread(parse("postprocessing"))
        self.boxes_by = (parse("threshold"), parse("box_confidence")) if boxes else None
        self.computing = threading.Lock()

    def read(self, data: Data) -> Data:
        """From an image's files, ``image``, to what the network takes."""
        return self.preprocess(data)

    def compute(self, batch: Sequence[Data]) -> None:
        """Add ``pred``, what the network gives for images of one shape."""
        images = torch.stack([torch.as_tensor(np.asarray(data["image"])) for data in batch])
        with self.computing, torch.no_grad():
            predicted = self.inferer(images.to(self.device), self.network).cpu()
        for data, one in zip(batch, predicted, strict=True):
            data["pred"] = convert_to_dst_type(one, data["image"], dtype=one.dtype)[0]  # the image knows its file

    def finish(self, data: Data) -> Data:
        """From what the network gave to masks in the image's own grid; and ``boxes``, where it finds them."""
        with torch.no_grad():
            done = self.postprocess(data)
        if self.boxes_by is not None:
            done["boxes"] = mask_to_boxes(done["probability"], *self.boxes_by)
        return done


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a model found on an image, in the image's own grid. Arrays are as NumPy and pydicom have them: rows first.

    Attributes:
        mask: uint8. Of a radiograph of shape (rows, columns), 0 or 1. Of a CT of shape (slices, rows, columns), the
            label of each voxel: 0 is the background, and ``model.classes`` names the others.
        probability: float32 of shape (rows, columns), 0 to 1; None of a CT.
        boxes: of a bundle that finds boxes ``(confidence, (x, y, width, height))``, the most confident first, in pixels
            of the image: ``mask[y : y + height, x : x + width]``, once they are whole numbers. None of other bundles.
        check: of a bundle that checks its images (``lungs``) ``frontal``, whether it can be a frontal chest radiograph,
            ``reasons``, why not, and the measures behind them; see :func:`transforms.frontal_check`. Where it was
            fitted, ``quality``, the Dice that the mask probably has; see :func:`transforms.predict_dice`. Else None.
        affine: of a CT (4, 4), float64: from (column, row, slice) to millimetres in RAS, as in NIfTI, for which
            ``mask.T`` is the array. The slices are in the order of their positions along the normal. Else None.
    """

    mask: np.ndarray
    probability: np.ndarray | None
    boxes: list[tuple[float, Box]] | None
    check: dict[str, Any] | None
    affine: np.ndarray | None


class Model:
    """A bundle with its weights, loaded once to be used often, by as many threads as you like.

    An image is

    - a path: a radiograph's DICOM, PNG, JPEG or NIfTI file; or of a CT the folder of one series, the list of the files
      of one, or a NIfTI file;
    - of radiographs also a pydicom Dataset with its pixels, which is left as it is;
    - or an array of shape (rows, columns) as it is to be shown: uint8 or uint16, 0 black to the greatest white, or
      floating point, 0 black to 1 white.

    All are read and checked as the command ``predict`` reads files, and refused with the same messages. Nothing is
    written, and nothing is said but warnings in the log.

    Args:
        bundle: its name or folder, see :meth:`pipelines.bundle.Bundle.find`; or a Bundle.
        overlays: names of the bundle's overlays of its inference, such as ``in_lungs``.
        ensemble: the output folder of a cross-validation, the mean of whose models predicts.
        overrides: values of the configuration, as ``weights``, ``device``, ``threshold`` or ``image_size``.

    Attributes:
        bundle: what it is made of.
        classes: what its labels mean, the background, 0, first.

    Raises:
        DataError: if there is no such bundle, overlay, key of the configuration or cross-validation.
        WeightsError: if the weights are missing, damaged or do not fit.
    """

    def __init__(
        self,
        bundle: os.PathLike | str | Bundle,
        overlays: Sequence[str] = (),
        ensemble: os.PathLike | str | None = None,
        **overrides: Any,
    ):
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.find(bundle)
        self.classes = self.bundle.classes
        overrides = {key: str(value) if isinstance(value, os.PathLike) else value for key, value in overrides.items()}
        if self.bundle.gives_probabilities:
            overrides["probability_key"] = "probability"
        parser = self.bundle.read(["inference", *overlays], **overrides)
        check_keys(self.bundle.configs, parser=parser)
        if ensemble is not None:
            choose_weights(self.bundle, parser, ensemble, overrides)
        with _plainly():
            self._inference = Inference(parser, self.bundle.finds_boxes)
            self._reader = parser.get_parsed_content("reader")

    def predict(self, image: Image, spacing: Sequence[float] | None = None) -> Segmentation:
        """Segment one image.

        Args:
            image: see the class.
            spacing: of an array, the distance between rows and between columns in millimetres, as in DICOM's
                PixelSpacing; ``pneumonia`` needs it.

        Raises:
            DataError: if the image cannot be used: what is wrong, and the fix.
            networks.OutputError: if the network gives what is no number.
        """
        with _plainly():
            data = self._read(image, spacing, "the image in memory")
            self._inference.compute([data])
            return self._found(data)

    def predict_each(
        self, images: Iterable[Image], spacing: Sequence[float] | None = None, batch_size: int | None = None
    ) -> Iterator[Segmentation]:
        """Segment images, in batches, while others are read and finished. Few of them are in memory at a time.

        Args:
            images: see the class.
            spacing: of all that are arrays.
            batch_size: how many radiographs the network takes at once; by default what suits the device.

        Yields:
            what was found on each, in their order.

        Raises:
            DataError: as :meth:`predict`, at the first image that cannot be used.
        """
        size = 1 if self.bundle.is_volumetric else batch_size or BATCH_SIZES[self._inference.device.type != "cpu"]

        def read(numbered: tuple[int, Image]) -> Data:
            number, image = numbered
            return self._read(image, spacing, f"image {number} in memory")

        def compute(batch: Sequence[Data]) -> Sequence[Data]:
            self._inference.compute(batch)
            return batch

        with _plainly():
            for _, found in flow(enumerate(images, 1), read, compute, self._found, cores(), size):
                yield found

    def _read(self, image: Image, spacing: Sequence[float] | None, name: str) -> Data:
        return self._inference.read({"image": self._source(image, spacing, name)})

    def _source(self, image: Image, spacing: Sequence[float] | None, name: str) -> Any:
        """What LoadImaged takes."""
        if isinstance(image, (Dataset, np.ndarray)):
            if self.bundle.is_volumetric:
                raise DataError(f"{name}: a CT cannot be given in memory. Give its folder, its files or a NIfTI file.")
            return [HeldRadiograph(image, spacing, name)]
        if spacing is not None:
            raise DataError(f"{image}: is a file, which says its spacing itself. Leave out spacing.")
        files: list[Any] = [image] if isinstance(image, (str, os.PathLike)) else list(image)
        if len(files) == 1:
            return find_image(files[0], self._reader).image
        if not files or not self.bundle.is_volumetric:
            wanted = "those of one CT" if self.bundle.is_volumetric else "the one of a radiograph"
            raise DataError(f"{name}: is a list of {len(files)} files. Give {wanted}.")
        return [str(path) for path in files]

    def _found(self, data: Data) -> Segmentation:
        done = self._inference.finish(data)
        label = done["mask" if "mask" in done else "pred"]  # of radiographs, pred has the axes of the file
        probability = done.get("probability")
        return Segmentation(
            mask=_rows_first(label[0]),
            probability=None if probability is None else _rows_first(probability[0]),
            boxes=done.get("boxes"),
            check=done.get("check"),
            affine=np.asarray(label.affine, np.float64) if self.bundle.is_volumetric else None,
        )


def _rows_first(array: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(array).T)


@contextmanager
def _plainly() -> Iterator[None]:
    """Errors that are meant for users come out of what MONAI has wrapped them in."""
    try:
        yield
    except Exception as error:
        plain = plain_error(error)
        if plain is None or plain is error:
            raise
        raise plain from None
