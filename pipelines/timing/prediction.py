"""Images a second of a whole prediction, beside a plain loop over the same images, and what it takes as they get many.

The plain loop does what a script would: it decodes an image, scales and resizes it by MONAI at its full size, runs the
network in float32, and writes a mask and an overlay of the image's size, one image after the other.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.networks.utils import eval_mode
from monai.transforms import Compose, Resized, ScaleIntensityRangePercentilesd, SpatialPadd
from PIL import Image

from networks import load_weights
from transforms import RadiographReader, index_images

from ..bundle import Bundle
from ..manifests.manifest import datalist
from ..manifests.mask_folders import build_masks_manifest
from ..phantoms.radiographs import draw_radiograph, write_dicom
from ..prediction.predict import Prediction
from .outputs import plain_outputs
from .reading import bare
from .volumes import predict_volumes

ROUNDS = 3
SIDE, LARGE, DRAWN = 1024, (3000, 4000), 16  # rows and columns of DICOM and of PNG files; how many of each
CASES = (1_000, 26_684)  # the greater: the images of the RSNA Pneumonia Detection Challenge
FEW, MANY = 100, 2_000


def prediction(bundle: Bundle, drawn: int = DRAWN, rounds: int = ROUNDS) -> None:
    """Time a bundle of radiographs and the plain loop, in turn, on phantoms: DICOM as the challenge has it, and PNG.

    For a bundle of CT, see :mod:`pipelines.timing.volumes`.

    Args:
        bundle: with random weights, which take as long as any.
        drawn: images of each kind.
        rounds: how often each way is timed.
    """
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    if bundle.is_volumetric:
        print(f"{threads}, torch {torch.__version__}")
        with tempfile.TemporaryDirectory() as folder, _quiet():
            predict_volumes(bundle, _random_weights(bundle, Path(folder)), Path(folder))
        return
    print(f"medians of {rounds} rounds of {drawn} images, {threads}, torch {torch.__version__}")
    print(f"{'':28}{'plain loop':>12}{'predict':>12}  ratio  network's share")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        weights = _random_weights(bundle, Path(folder))
        for name, write in ((f"JPEG DICOM, {SIDE}²", _dicom), (f"PNG, {LARGE[1]} x {LARGE[0]}", _png)):
            images = Path(folder) / name.split()[0]
            images.mkdir()
            rng = np.random.default_rng(0)
            for number in range(drawn):
                write(images / f"{number:03}", rng)
            plain = _PlainLoop(bundle, weights)
            times: dict[str, list[float]] = {"plain": [], "ours": [], "network": []}
            for number in range(rounds + 1):  # in turn; the first warms up
                out = Path(folder) / f"{images.name}-{number}"
                found = [
                    _seconds(lambda: plain.run(sorted(images.iterdir()), out / "plain")),  # noqa: B023
                    _seconds(_predicting(bundle, images, out / "ours", weights)),
                    plain.network_seconds(drawn),
                ]
                if number:
                    for way, seconds in zip(times.values(), found, strict=True):
                        way.append(seconds)
            rates = {way: drawn / statistics.median(seconds) for way, seconds in times.items()}
            ratio = statistics.median(
                first / second for first, second in zip(times["plain"], times["ours"], strict=True)
            )
            share = rates["ours"] / rates["network"]
            print(f"{name:28}{rates['plain']:10.2f}/s{rates['ours']:10.2f}/s  {ratio:5.2f}  {share:15.0%}")


def growth(bundle: Bundle, cases: tuple[int, ...] = CASES, few: int = FEW, many: int = MANY) -> None:
    """Print what more images cost: memory in prediction; and time to list them, for their manifest and to read that.

    Args:
        bundle: with random weights.
        cases: how many links to one small image, and to its mask, there are.
        few: small images that are predicted first.
        many: those that are predicted then.
    """
    import resource  # which Windows does not have

    with tempfile.TemporaryDirectory() as folder, _quiet():
        parser, root = bundle.read(["inference"]), Path(folder)
        _png(root / "small", np.random.default_rng(0), (64, 64))
        Image.fromarray(np.pad(np.full((32, 32), 255, np.uint8), 16)).save(root / "mask.png")
        for number in (*cases, few, many):
            for name, file in (("images", "small.png"), ("masks", "mask.png")):
                (root / str(number) / name).mkdir(parents=True, exist_ok=True)
                for link in range(number):
                    (root / str(number) / name / f"{link:06}.png").symlink_to(root / file)
        # first, as the memory is the most that the process ever had
        weights, before = _random_weights(bundle, root), 0.0
        for number in (few, many):
            _predicting(bundle, root / str(number) / "images", root / f"out-{number}", weights)()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            more = f", {memory / before - 1:+.1%}" if before else ""
            print(f"{number:7} images are predicted with {memory:6.0f} MB at most{more}")
            before = memory
        reader = parser.get_parsed_content("reader")
        reader.unknown_spacing = "pixels"
        print(f"{'images':>7}  {'listed':>18}  {'manifest made':>18}  {'read for a training':>20}")
        for number in cases:
            print(f"{number:7}" + "".join(f"  {took:>18}" for took in _starts(root / str(number), number, reader)))


def _starts(folder: Path, number: int, reader: RadiographReader) -> Iterator[str]:
    """How long it takes to list the images of a folder, to make a manifest of them, and to read that manifest."""
    manifest = folder / "manifest.json"

    def make() -> None:
        with redirect_stdout(None):  # the table of what was used
            build_masks_manifest(folder, manifest, "lungs", "links")

    for do in (
        lambda: index_images(folder / "images", reader),
        make,
        lambda: datalist(manifest, folder, "training", reader),
    ):
        seconds = _seconds(do)
        yield f"{seconds:.2f} s, {1e6 * seconds / number:.0f} us each"


class _PlainLoop:
    def __init__(self, bundle: Bundle, weights: Path):
        overrides = {"weights": str(weights), "precision": "float32"}
        parser = bundle.read(["inference"], **overrides)
        self.network = load_weights(parser.get_parsed_content("network_def"), weights).eval()
        self.size, (lower, upper) = parser["image_size"], parser["percentiles"]
        self.threshold = parser.get_parsed_content("threshold")
        self.scale = ScaleIntensityRangePercentilesd("image", lower, upper, b_min=0.0, b_max=1.0, clip=True)

    def run(self, paths: Sequence[Path], folder: Path) -> None:
        for path in paths:
            self._predict(path, folder)

    def _predict(self, path: Path, folder: Path) -> None:
        image = torch.from_numpy(bare(path).T.astype(np.float32) / 255)[None]
        meta = {"filename_or_obj": str(path), "file_shape": tuple(image.shape[1:]), "original_affine": torch.eye(4)}
        shown = MetaTensor(image, affine=torch.eye(4), meta=meta)
        scale = self.size / max(image.shape[1:])
        shape = [max(1, round(length * scale)) for length in image.shape[1:]]
        fit = Compose(
            [
                self.scale,
                Resized("image", shape, mode="bilinear", anti_aliasing=True),
                SpatialPadd("image", (self.size, self.size)),
            ]
        )
        data = dict(fit({"image": shown.clone()}))
        with torch.no_grad():
            logits = self.network(data["image"][None].as_tensor())[0]
            data["pred"] = MetaTensor(logits.sigmoid(), meta=dict(data["image"].meta))
        data["shown"] = shown
        folder.mkdir(parents=True, exist_ok=True)
        for part in plain_outputs(fit, folder, self.threshold).values():
            data = dict(part(data))

    def network_seconds(self, images: int) -> float:
        batch = torch.rand(8, 1, self.size, self.size)
        with eval_mode(self.network):
            return _seconds(lambda: [self.network(batch[: images - done]) for done in range(0, images, len(batch))])


def _predicting(bundle: Bundle, images: Path, out: Path, weights: Path) -> Callable[[], int]:
    settings: dict[str, Any] = {"reader#unknown_spacing": "pixels", "weights": str(weights)}
    return lambda: Prediction(bundle, images, out, **settings).run()


def _random_weights(bundle: Bundle, folder: Path) -> Path:
    torch.manual_seed(0)
    network = bundle.read(["inference"]).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def _dicom(path: Path, rng: np.random.Generator) -> None:
    write_dicom(path.with_suffix(".dcm"), draw_radiograph(rng, (SIDE, SIDE), "Normal").pixels, "phantom", rng)


def _png(path: Path, rng: np.random.Generator, shape: tuple[int, int] | None = None) -> None:
    shape = shape or LARGE
    pixels = draw_radiograph(rng, (SIDE, SIDE), "Normal").pixels
    large = np.asarray(Image.fromarray(pixels).resize(shape[::-1])) + rng.normal(0, 1, shape)
    Image.fromarray(np.clip(large, 0, 255).astype(np.uint8)).save(path.with_suffix(".png"))


def _seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


@contextmanager
def _quiet() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)
