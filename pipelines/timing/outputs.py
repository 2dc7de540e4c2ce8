"""How long a radiograph takes after the network: from probabilities to files, beside plain MONAI, from one run."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    AsDiscreted,
    Compose,
    CopyItemsd,
    FillHolesd,
    Invertd,
    KeepLargestConnectedComponentd,
    MapTransform,
    SaveImage,
    Transform,
)
from PIL import Image
from scipy.ndimage import binary_erosion

from transforms import BackToImaged, FitRadiographd, KeepPartsd, OutputLayout, SaveFiled, SaveMaskd, SaveOverlayd
from transforms.files.atomic import atomic_path

from ..bundle import Bundle

SHAPES = ((1024, 1024), (4000, 3000))  # columns and rows: of DICOM as the challenge has it, of a photograph of a film
COLOUR = np.array([255, 127, 14], np.float32)

Data = dict[Hashable, Any]
Part = Callable[[Data], Mapping[Hashable, Any]]


class Settings(NamedTuple):
    """What a bundle says of its outputs."""

    image_size: int
    threshold: float
    overlay_size: int

    @classmethod
    def of(cls, bundle: Bundle) -> Settings:
        parser = bundle.read(["inference"])
        return cls(*(parser.get_parsed_content(name) for name in cls._fields))


class PlainMask(SaveFiled):
    """A mask as PNG by MONAI's writer, with what it is compressed with by default."""

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        save = SaveImage(output_ext=".png", output_dtype=np.uint8, writer="PILWriter", scale=255, print_log=False)
        with atomic_path(path) as scratch:
            save(data[key], filename=str(scratch).removesuffix(".png"))


class PlainOverlay(SaveFiled):
    """An overlay of the image's size, in floats, compressed as Pillow does by default."""

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        image, mask = (np.asarray(data[name][0]).T for name in ("shown", key))
        mask = mask > 0
        picture = np.repeat(image[..., None] * 255, 3, axis=2)
        edge = mask & ~binary_erosion(mask, iterations=max(1, round(max(mask.shape) / 400)), border_value=1)
        picture[mask] = 0.75 * picture[mask] + 0.25 * COLOUR
        picture[edge] = COLOUR
        with atomic_path(path) as scratch:
            Image.fromarray(np.clip(picture, 0, 255).round().astype(np.uint8)).save(scratch, format="png")


def outputs(bundle: Bundle, shapes: Sequence[tuple[int, int]] = SHAPES, rounds: int = 5) -> None:
    """Time what follows the network, part by part, on one thread and in turn, and print medians and their ratios.

    Both ways get the same probabilities, of two lungs with specks and holes, and the same noisy image. Before: MONAI's
    Invertd, AsDiscreted, KeepLargestConnectedComponentd, FillHolesd and SaveImage, and overlays of the image's size.
    After: what the bundles' configurations name.

    Args:
        bundle: of radiographs, whose size of images, threshold and size of overlays are taken.
        shapes: columns and rows of the images.
        rounds: how often each way is timed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"after the network: milliseconds an image, medians of {rounds} rounds, one of {os.cpu_count()} cores"
            )
            for shape in shapes:
                _print(shape, *_time(Settings.of(bundle), shape, rounds, Path(folder)))
    finally:
        torch.set_num_threads(threads)


def _time(
    settings: Settings, shape: tuple[int, int], rounds: int, folder: Path
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds of each part, before and after."""
    fit = FitRadiographd("image", settings.image_size, (0.5, 99.5), mode="bilinear")
    data = _drawn(settings.image_size, shape, fit, folder)
    ways = [plain_outputs(fit, folder / "before", settings.threshold), _after(folder / "after", settings)]
    times: list[dict[str, list[float]]] = [{name: [] for name in way} for way in ways]
    for number in range(rounds + 1):  # in turn, so that a machine that gets slower does so for both
        for way, found in zip(ways, times, strict=True):
            state: Mapping[Hashable, Any] = {**data, "pred": data["pred"].clone()}
            for name, part in way.items():
                since = time.perf_counter()
                state = part(dict(state))
                if number:  # the first warms up
                    found[name].append(1000 * (time.perf_counter() - since))
    return times[0], times[1]


def plain_outputs(fit: Transform, folder: Path, threshold: float) -> dict[str, Part]:
    """What a script would do, part by part: MONAI's transforms at the image's full size.

    Args:
        fit: what brought the image to the network's grid.
        folder: where masks and overlays go.
        threshold: of probabilities.
    """
    return {
        "back to the image": Compose(
            [
                Invertd("pred", Compose([fit]), orig_keys="image", nearest_interp=False),
                CopyItemsd("pred", names="probability"),
                AsDiscreted("pred", threshold=threshold, dtype=torch.uint8),
            ]
        ),
        "largest parts, holes": Compose([KeepLargestConnectedComponentd("pred", num_components=2), FillHolesd("pred")]),
        "mask": PlainMask("pred", OutputLayout(folder, folder, "mask")),
        "overlay": PlainOverlay("pred", OutputLayout(folder, folder, "overlay")),
    }


def _after(folder: Path, settings: Settings) -> dict[str, Part]:
    return {
        "largest parts, holes": KeepPartsd("pred", settings.threshold, number=2),
        "back to the image": BackToImaged("pred", settings.threshold),
        "mask": SaveMaskd("pred", OutputLayout(folder, folder, "mask")),
        "overlay": SaveOverlayd("pred", OutputLayout(folder, folder, "overlay"), "shown", settings.overlay_size),
    }


def _drawn(size: int, shape: tuple[int, int], fit: MapTransform, folder: Path) -> Data:
    """An image as the reader gives it, as the network sees it, and probabilities, both ways' input."""
    random = np.random.default_rng(0)
    image = np.linspace(0.2, 0.8, shape[0], dtype=np.float32)[:, None] + random.normal(0, 0.01, shape)
    meta = {"filename_or_obj": str(folder / "image.png"), "file_shape": shape, "original_affine": np.eye(4)}
    shown = MetaTensor(torch.from_numpy(image.astype(np.float32))[None], affine=torch.eye(4), meta=meta)
    data: Data = dict(fit({"image": shown}))
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    lungs = sum(np.exp(-(((x - side) / 0.14) ** 2) - ((y - 0.5) / 0.3) ** 2) for side in (0.3, 0.7))
    specks = random.random(x.shape)
    lungs = np.where(specks < 0.002, 1 - lungs, lungs)
    pred = MetaTensor(torch.from_numpy(lungs.astype(np.float32))[None], meta=dict(data["image"].meta))
    return data | {"shown": shown, "pred": pred}


def _print(shape: tuple[int, int], before: dict[str, list[float]], after: dict[str, list[float]]) -> None:
    rows = [(name, before[name], after[name]) for name in before]
    rows.append(("all", _summed(before), _summed(after)))
    print(f"\n{f'{shape[0]} x {shape[1]}':24}  before   after   ratio")
    for name, old, new in rows:
        ratio = statistics.median(first / second for first, second in zip(old, new, strict=True))
        print(f"{name:24}{statistics.median(old):8.1f}{statistics.median(new):8.1f}{ratio:8.1f}")


def _summed(times: dict[str, list[float]]) -> list[float]:
    return [sum(parts) for parts in zip(*times.values(), strict=True)]
