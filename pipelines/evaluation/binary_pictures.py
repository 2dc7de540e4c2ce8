"""Pictures of radiographs beside their truth and their prediction, and the masks that they are drawn of, packed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.colors import to_rgb

from transforms.files.atomic import atomic_write

from ..figures import Panel, draw_rows
from .ranking import best_median_worst

Packed: TypeAlias = tuple[tuple[int, int], bytes]  # the shape of two masks, and both, compressed to a few kilobytes

TRUTH, PREDICTION = "#00c2a8", "#ff7f0e"  # people with any colour vision can tell them apart


def pack(truth: npt.NDArray, prediction: npt.NDArray) -> Packed:
    """Two masks of shape (x, y), boolean."""
    return (truth.shape[0], truth.shape[1]), zlib.compress(np.packbits([truth, prediction]).tobytes())


def unpack(packed: Packed) -> npt.NDArray[np.uint8]:
    """Truth and prediction, of shape (2, x, y), 0 or 1."""
    shape, compressed = packed
    bits = np.frombuffer(zlib.decompress(compressed), np.uint8)
    return np.unpackbits(bits, count=2 * shape[0] * shape[1]).reshape(2, *shape)


def keep_masks(masks: Sequence[Packed], path: os.PathLike | str) -> None:
    """Write the masks of several images."""
    with atomic_write(path, "wb") as file:
        np.savez(
            file,
            shapes=[shape for shape, _ in masks],
            ends=np.cumsum([len(compressed) for _, compressed in masks]),
            compressed=np.frombuffer(b"".join(compressed for _, compressed in masks), np.uint8),
        )


def load_masks(path: os.PathLike | str) -> list[Packed]:
    """Read what :func:`keep_masks` wrote."""
    with np.load(path, allow_pickle=False) as content:
        parts = np.split(content["compressed"], content["ends"][:-1])
        return [((int(x), int(y)), part.tobytes()) for (x, y), part in zip(content["shapes"], parts, strict=True)]


def draw_chosen(
    scores: pd.Series, masks: Sequence[Packed], load: Callable[[int], npt.NDArray], folder: os.PathLike | str
) -> None:
    """Write ``best.png``, ``median.png`` and ``worst.png`` into a folder.

    Args:
        scores: the Dice of cases, by their number.
        masks: of all cases.
        load: gives the image of a case by its number, (x, y), 0 to 1.
        folder: where they go.
    """
    for which, cases in best_median_worst(scores).items():
        drawn = []
        for number, dice in cases.items():
            truth, prediction = unpack(masks[number])
            caption = f"case {number}: Dice {dice:.2f}"
            drawn.append({"image": load(number), "truth": truth, "prediction": prediction, "caption": caption})
        draw_cases(drawn, Path(folder) / f"{which}.png", f"{which} of the positives by Dice")


def draw_cases(cases: Sequence[dict], path: os.PathLike | str, title: str) -> None:
    """Draw a row for each case: image, truth, prediction, and both outlines over the image.

    Args:
        cases: each with ``image`` (x, y), 0 to 1; ``truth`` and ``prediction`` (x, y), boolean; ``caption``.
        path: the PNG to write.
        title: above all.
    """
    rows = []
    for case in cases:
        image, truth, prediction = (np.asarray(case[key]).T for key in ("image", "truth", "prediction"))
        outlines = [(TRUTH, truth), (PREDICTION, prediction)]
        rows.append(
            [
                Panel(case["caption"], image),
                Panel("truth", _shaded(image, truth, TRUTH)),
                Panel("prediction", _shaded(image, prediction, PREDICTION)),
                Panel("overlay: truth green, prediction orange", image, outlines),
            ]
        )
    draw_rows(rows, path, title)


def _shaded(image: np.ndarray, mask: np.ndarray, colour: str) -> np.ndarray:
    picture = np.repeat(image[..., None].clip(0, 1), 3, axis=2)
    picture[mask > 0] = 0.55 * picture[mask > 0] + 0.45 * np.array(to_rgb(colour))
    return picture
