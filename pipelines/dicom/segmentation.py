"""Writes masks as DICOM Segmentations (PS3.3 A.51) that belong to their images' study and lie where these lie."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from pydicom.dataset import Dataset
from skimage.color import rgb2lab

from transforms import DataError, OutputLayout, SaveFiled
from transforms.files.atomic import atomic_path

from .algorithm import Algorithm
from .source import LOSSY, SERIES_NUMBER, code, equipment, highdicom, identify, read_source, uid_of

CIELabColor = highdicom.color.CIELabColor
SPACINGS = {  # of a radiograph, and what each is measured on (PS3.3 10.7)
    "PixelSpacing": None,
    "ImagerPixelSpacing": "the detector",
    "NominalScannedPixelSpacing": "the film",
}


def write_segmentation(
    mask: np.ndarray,
    sources: Sequence[os.PathLike | str],
    segments: Sequence[dict[str, Any]],
    path: os.PathLike | str,
    algorithm: Algorithm,
    fractional: bool = False,
    keep_free_text: bool = False,
    strict: bool = False,
) -> None:
    """Write a mask as a DICOM Segmentation.

    It has a frame for each segment and each image, also where they are empty: the frames of a segment are the volume.
    Of the source it takes over the patient, the study, the frame of reference, and each image's position. A
    radiograph has none; its segmentation says which image it belongs to, pixel for pixel (PS3.3 C.7.6.16.2.6), and
    describes the image's plane, see :func:`_lay_in_image`, unless ``strict``.

    Args:
        mask: (x, y) or, of a series, (x, y, z), in the image's own grid. Integers: n is the segment n and 0
            is background; or, if ``fractional``, the probability of a single segment, 0 to 1.
        sources: the DICOM file of the image; of a series one a slice, in the order of z.
        segments: of each its ``label``, the codes of its ``category`` and ``type``, optionally those of a ``modifier``
            and of the anatomic ``region``, each as (value, scheme, meaning), and optionally its ``color``, RGB to 255.
        path: the file to write; it appears once it is complete.
        algorithm: what made the mask.
        fractional: whether to keep probabilities, in steps of 1/255, or one bit.
        keep_free_text: see :func:`read_source`.
        strict: whether the segmentation of a radiograph has no plane, as PS3.3 A.51.5 has it.

    Raises:
        DataError: if a source is not DICOM, or lacks what a segmentation must refer to.
    """
    headers = [read_source(source, keep_free_text) for source in sources]
    expected = (headers[0].Rows, headers[0].Columns)
    frames = np.ascontiguousarray(np.asarray(mask).T)  # (rows, columns) or (slices, rows, columns)
    if frames.shape[-2:] != expected or (len(headers) if frames.ndim == 3 else 1) != len(frames.reshape(-1, *expected)):
        raise ValueError(f"a mask of {np.shape(mask)} is not that of {len(headers)} images of {expected}.")
    if frames.ndim == 3 and "FrameOfReferenceUID" not in headers[0]:
        raise DataError(
            f"{sources[0]}: lacks FrameOfReferenceUID (0020,0052), without which a segmentation has no place. Export "
            "the series again, or write NIfTI: --format nifti."
        )
    settings = {"segments": segments, "fractional": fractional, "free_text": keep_free_text, "strict": strict}
    segmentation = highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=frames.astype(np.float32) if fractional else frames.astype(np.uint8),
        segmentation_type="FRACTIONAL" if fractional else "BINARY",
        segment_descriptions=[_describe(n, segment, algorithm) for n, segment in enumerate(segments, start=1)],
        series_instance_uid=uid_of("series of a segmentation", algorithm, headers, frames, **settings),
        series_number=SERIES_NUMBER + int(headers[0].get("SeriesNumber") or 0) % 1000,
        sop_instance_uid=uid_of("segmentation", algorithm, headers, frames, **settings),
        instance_number=1,
        **equipment(algorithm),
        series_description=f"{algorithm.name}, segmentation"[:64],
        omit_empty_frames=False,
    )
    shared, first = segmentation.SharedFunctionalGroupsSequence[0], segmentation.PerFrameFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        # of a single frame that may be said once for all (PS3.3 A.51.5.1), but readers look in each frame
        first.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
        del shared.SegmentIdentificationSequence
    for tag in LOSSY:
        if tag in segmentation and not segmentation[tag].value:
            delattr(segmentation, tag)
    if "FrameOfReferenceUID" not in segmentation:
        # highdicom refuses to read a spacing without slice thickness; the source has the spacing (PS3.3 A.51.5)
        shared.pop("PixelMeasuresSequence", None)
        if not strict:
            _lay_in_image(segmentation, headers[0])
        segmentation.PatientOrientation = headers[0].get("PatientOrientation") or ""  # it must be there: C.7.6.1
    with atomic_path(path) as scratch:
        segmentation.save_as(scratch)


def _lay_in_image(segmentation: Dataset, header: Dataset) -> None:
    """Give a segmentation of a radiograph the plane of the image itself.

    Its x axis follows the columns, its y axis the rows, both in the image's own spacing, and (0, 0, 0) is the centre
    of the first pixel. PS3.3 A.51.5 has planes only in a frame of reference, which a radiograph does not have. But
    viewers look for one, and OHIF shows nothing without. So it is there, and ``ImageComments`` says what it is not.
    """
    tag = next((tag for tag in SPACINGS if header.get(tag)), None)
    comment = (
        "The plane is that of the image, with its first pixel at 0, 0, 0, for viewers that need one. It is no place in "
        "the patient: there is no frame of reference. Each pixel belongs to the same pixel of the referenced image."
    )
    if tag is None:
        comment += " The spacing is not known: a pixel is given as 1 mm."
    elif SPACINGS[tag]:
        comment += f" The spacing is that of {SPACINGS[tag]}, not of the patient."
    measures, orientation, position = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(header[tag].value) if tag else [1, 1]
    measures.SliceThickness = 1  # readers ask for one, of what has no thickness
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    position.ImagePositionPatient = [0, 0, 0]
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = [position]
    segmentation.ImageComments = comment


def _describe(number: int, segment: dict[str, Any], algorithm: Algorithm) -> highdicom.seg.SegmentDescription:
    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment["label"],
        segmented_property_category=code(segment["category"]),
        segmented_property_type=code(segment["type"]),
        algorithm_type=algorithm.type,
        algorithm_identification=identify(algorithm),
        anatomic_regions=[code(segment["region"])] if "region" in segment else None,
    )
    if "color" in segment:  # in CIELab (PS3.3 C.10.7.1.1); the highdicom that pydicom 2 can have knows no colour
        lab = CIELabColor(*map(float, rgb2lab(np.array(segment["color"]) / 255)))
        description.RecommendedDisplayCIELabValue = list(lab.value)
    if "modifier" in segment:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [code(segment["modifier"])]
    return description


class SaveSegmentationd(SaveFiled):
    """Writes each mask as a DICOM Segmentation, see :func:`write_segmentation`.

    Args:
        keys: masks of shape (1, x, y) or (1, x, y, z), MetaTensors that know the file of their image.
        layout: gives the name of each file.
        segments: what the labels are, as the bundle's ``metadata.json`` says.
        algorithm: what made them.
        fractional: whether they are probabilities and stay so.
        keep_free_text: see :func:`read_source`.
        strict: see :func:`write_segmentation`.
        sources_key: the image's DICOM files, in the order of z.
    """

    def __init__(
        self,
        keys: KeysCollection,
        layout: OutputLayout,
        segments: Sequence[dict[str, Any]],
        algorithm: Algorithm,
        fractional: bool = False,
        keep_free_text: bool = False,
        strict: bool = False,
        sources_key: str = "sources",
    ):
        super().__init__(keys, layout)
        self.segments = segments
        self.algorithm = algorithm
        self.settings = {"fractional": fractional, "keep_free_text": keep_free_text, "strict": strict}
        self.sources_key = sources_key

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        mask = np.asarray(data[key][0].cpu())
        write_segmentation(mask, data[self.sources_key], self.segments, path, self.algorithm, **self.settings)
