"""DICOM Segmentations of a store as labels to train from: which of them are labels, and what their segments are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from transforms.files.dicom import open_dicom


def no_label(header: Dataset, segments: Sequence[dict[str, Any]]) -> str | None:
    """Why a segmentation is not a label with a bundle's segments, or None if it is one."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != RLELossless:  # its decoder could end the server
        return f"its pixel data are compressed ({syntax.name})"
    if header.SegmentationType != "BINARY":
        return f"its SegmentationType (0062,0001) is {header.SegmentationType}"
    if {item.SegmentAlgorithmType for item in header.SegmentSequence} == {"AUTOMATIC"}:
        return "no person took part in it: its SegmentAlgorithmType (0062,0008) is AUTOMATIC"
    if not numbers_of(header, segments):
        return "it has none of the bundle's segments"
    return None


def numbers_of(header: Dataset, segments: Sequence[dict[str, Any]]) -> dict[int, int]:
    """The bundle's number of each segment of a DICOM Segmentation that the bundle has, by type, side and region."""
    known = {}
    for number, segment in enumerate(segments, start=1):
        known[tuple(segment[key][0] if key in segment else None for key in ("type", "modifier", "region"))] = number
    found = {}
    for item in header.SegmentSequence:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        modifier = kind.get("SegmentedPropertyTypeModifierCodeSequence")
        parts = kind.CodeValue, *(s[0].CodeValue if s else None for s in (modifier, item.get("AnatomicRegionSequence")))
        if parts in known:
            found[int(item.SegmentNumber)] = known[parts]
    return found


def read_labels(path: Path, sources: Sequence[Path], segments: Sequence[dict[str, Any]]) -> np.ndarray:
    """Read a DICOM Segmentation of images as a bundle numbers its segments.

    Returns:
        uint8 of shape (x, y, z), z in the order of the images; 0 where none of the bundle's segments is.
    """
    uids = [open_dicom(source, stop_before_pixels=True).SOPInstanceUID for source in sources]
    segmentation = highdicom.seg.segread(path)
    numbers = numbers_of(segmentation, segments)
    frames = segmentation.get_pixels_by_source_instance(
        uids, segment_numbers=sorted(numbers), assert_missing_frames_are_empty=True
    )
    labels = np.zeros(frames.shape[:-1], np.uint8)  # (z, rows, columns)
    for place, segment in enumerate(sorted(numbers)):
        labels[frames[..., place] > 0] = numbers[segment]
    return labels.T
