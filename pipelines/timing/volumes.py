"""Seconds a CT of a whole prediction, beside a plain loop over the same series, and the memory that both take.

The plain loop does what a script would: MONAI reads a series and prepares it, the network runs in float32, the
probabilities of all classes go back to the series' grid, the labels are chosen there and written as NIfTI, one series
after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import SliceInferer
from monai.transforms import AsDiscreted, Compose, Invertd, LoadImaged, SaveImaged

from networks import load_weights, slice_channels

from ..bundle import Bundle
from ..phantoms.ct import HEIGHT_MM, WIDTH_MM, draw_abdomen, write_series
from ..prediction.predict import Prediction

SERIES, SLICES, SIDE = 2, 200, 512  # of the phantoms: how many, and of which size
COARSE = 4  # a phantom's organs are drawn in pixels of so many


def predict_volumes(bundle: Bundle, weights: Path, folder: Path) -> None:
    """Time a bundle of CT, its network alone and the plain loop, on phantoms of uncompressed DICOM.

    Args:
        bundle: whose prediction it is.
        weights: random ones, which take as long as any.
        folder: an empty one.
    """
    (folder / "in").mkdir()
    for number in range(SERIES):
        draw_series(folder / "in" / str(number), number)
    plain = PlainLoop(bundle, weights)
    plain.network_seconds(1)  # warms up
    network = SERIES * plain.network_seconds(SLICES)
    print(f"{SERIES} series of {SLICES} slices of {SIDE}²; the network alone takes {network / SERIES:.1f} s a series")
    print(f"{'':12}{'s a series':>12}{'network':>10}{'beside it, s':>14}{'memory at most, MB':>20}")
    seconds = {}
    ways: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain.run(sorted((folder / "in").iterdir()), folder / "plain"),
        "predict": lambda: Prediction(bundle, folder / "in", folder / "ours", weights=str(weights)).run(),
    }
    for name, run in ways.items():
        _forget_peak()
        since = time.perf_counter()
        run()
        seconds[name] = took = time.perf_counter() - since
        beside = (took - network) / SERIES
        print(f"{name:12}{took / SERIES:12.1f}{network / took:10.0%}{beside:14.1f}{_peak():20.0f}")
    print(f"{seconds['plain loop'] / seconds['predict']:.2f} times as fast")


def draw_series(folder: Path, seed: int) -> None:
    """Draw a phantom CT of SLICES slices, a millimetre apart if they are 200, as uncompressed DICOM."""
    shape, spacing = (SIDE // COARSE, SIDE // COARSE, SLICES), WIDTH_MM * COARSE / SIDE
    affine = np.diag([spacing, spacing, HEIGHT_MM / SLICES, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    rng = np.random.default_rng(seed)
    coarse, _ = draw_abdomen(rng, rng, affine, shape, enhancement=0.8)
    affine[[0, 1], [0, 1]] /= COARSE
    fine = coarse.repeat(COARSE, axis=0).repeat(COARSE, axis=1)
    write_series(folder, fine, affine, seed, "HFS", rng, compressed=False)


class PlainLoop:
    """What a script would do.

    Args:
        bundle: whose preprocessing, network and classes it takes.
        weights: of the network.
    """

    def __init__(self, bundle: Bundle, weights: Path):
        parser = bundle.read(["inference"], weights=str(weights), precision="float32")
        self.network = load_weights(parser.get_parsed_content("network_def"), weights).eval()
        load = LoadImaged("image", ensure_channel_first=True)  # by the reader that MONAI takes for DICOM, of ITK
        self.prepare = Compose([load, *parser.get_parsed_content("preprocessing").transforms[1:]])
        self.inferer = SliceInferer(2, (parser["image_size"],) * 2, sw_batch_size=parser["batch_size"])
        self.channels, self.size, self.batch_size = parser["channels"], parser["image_size"], parser["batch_size"]

    def run(self, paths: Sequence[Path], folder: Path) -> None:
        """Predict series, and write their labels below a folder."""
        finish = Compose(
            [
                Invertd("pred", self.prepare, orig_keys="image", nearest_interp=False),
                AsDiscreted("pred", argmax=True),
                SaveImaged("pred", output_dir=folder, output_dtype=np.uint8, resample=False, print_log=False),
            ]
        )
        for path in paths:
            data = self.prepare({"image": str(path)})
            with torch.no_grad():
                volume = slice_channels(data["image"][None].as_tensor(), self.channels)
                probabilities = self.inferer(volume, self._probabilities)[0]
            finish({**data, "pred": MetaTensor(probabilities, meta=dict(data["image"].meta))})

    def _probabilities(self, slices: torch.Tensor) -> torch.Tensor:
        return self.network(slices).softmax(dim=1)

    def network_seconds(self, slices: int) -> float:
        """How long the network takes for so many slices, with nothing around it."""
        batch = torch.rand(self.batch_size, 3, self.size, self.size)
        since = time.perf_counter()
        with torch.no_grad():
            for done in range(0, slices, self.batch_size):
                self.network(batch[: slices - done])
        return time.perf_counter() - since


def _forget_peak() -> None:
    """Let the process's greatest memory be that from now on, where there is a Linux that knows it."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak() -> float:
    """The process's greatest memory in MB; not a number where it is not known."""
    with suppress(OSError):
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    return float("nan")
