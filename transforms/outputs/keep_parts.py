"""Keeps the largest parts of a mask, and fills its holes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


class KeepPartsd(MapTransform):
    """Keeps the largest parts of each mask and fills the holes that are left in them.

    What MONAI's KeepLargestConnectedComponentd and FillHolesd give in turn, but by runs of pixels and not by pixels.
    Parts hang together by edges or corners of pixels, and so do holes: one that meets the outside at a corner is none.

    Args:
        keys: masks of shape (1, x, y), uint8, 0 or 1.
        number: of the parts that are kept.
    """

    def __init__(self, keys: KeysCollection, number: int):
        super().__init__(keys)
        self.number = number

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            kept = keep_parts(np.asarray(d[key][0].cpu()).T, self.number)
            d[key] = convert_to_dst_type(torch.from_numpy(kept.T)[None], dst=d[key])[0]
        return d


def keep_parts(mask: np.ndarray, number: int) -> np.ndarray:
    """The largest parts of a mask, without holes. Of parts of one size, the first in the order of memory is kept.

    Each row of the mask is cut into runs of ones. Two runs in rows that follow each other touch if they share a column
    or two columns that are neighbours; what hangs together is a question of a graph of runs, of which there are a
    thousand times fewer than pixels. Holes are the parts of the runs of zeros that do not reach the outside.

    Args:
        mask: of shape (rows, columns), uint8, 0 or 1.
        number: of the parts that are kept.

    Returns:
        of the same shape and type.
    """
    rows, columns = (np.flatnonzero(mask.view(bool).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return mask.copy()
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    # a frame of one pixel outside, and to the right one more, so that runs in different rows do not touch in memory
    inside = mask[box]
    height, width = inside.shape[0] + 2, inside.shape[1] + 3
    framed = np.zeros((height, width), np.uint8)
    framed[1:-1, 1:-2] = inside
    flat = framed.reshape(-1)
    borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, stops = borders[::2], borders[1::2]

    parts = _parts(starts, stops, width)
    sizes = np.bincount(parts, weights=stops - starts)
    kept = np.isin(parts, np.argsort(-sizes, kind="stable")[:number])
    for start, stop in zip(starts[~kept], stops[~kept], strict=True):
        flat[start:stop] = 0

    first = np.arange(height) * width
    starts, stops = np.sort(np.append(first, stops[kept])), np.sort(np.append(starts[kept], first + width - 1))
    parts = _parts(starts, stops, width)
    holes = parts != parts[0]  # that of the frame
    for start, stop in zip(starts[holes], stops[holes], strict=True):
        flat[start:stop] = 1
    result = np.zeros_like(mask)
    result[box] = framed[1:-1, 1:-2]
    return result


def _parts(starts: np.ndarray, stops: np.ndarray, width: int) -> np.ndarray:
    """Number the parts that runs of pixels form, which touch by edges or corners.

    Args:
        starts: the place in memory of the first pixel of each run, rising.
        stops: the place after its last.
        width: of the rows in memory.

    Returns:
        the number of the part of each run.
    """
    first = np.searchsorted(stops, starts + width)  # of the runs in the next row that touch it
    counts = np.maximum(np.searchsorted(starts, stops + width, side="right") - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    touching = coo_matrix((np.ones(len(upper), bool), (upper, lower)), shape=(len(starts), len(starts)))
    return connected_components(touching, directed=False)[1]
