"""Writes labels of a CT as a DICOM RT Structure Set (PS3.3 A.19): for each organ closed contours in millimetres."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage
from scipy.ndimage import find_objects
from skimage.measure import find_contours

from transforms import DataError, OutputLayout, SaveFiled
from transforms.files.atomic import atomic_path

from .algorithm import Algorithm
from .source import (  # it says how to get highdicom
    SERIES_NUMBER,
    code,
    equipment,
    highdicom,
    identify,
    read_source,
    uid_of,
)

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"  # retired as a class of objects, but still what refers to a study here
DECIMALS = 4  # of a millimetre; a DS has no room for more than 16 characters
# The contour lies a hair (0.001 pixels) within the pixels' edges: a reader that rounds its points to whole pixels, as
# rt-utils and all that use OpenCV, gets pixels of the organ, where at the edge itself it would get either.
LEVEL = 0.502


def write_rtstruct(
    labels: np.ndarray,
    sources: Sequence[os.PathLike | str],
    segments: Sequence[dict[str, Any]],
    path: os.PathLike | str,
    algorithm: Algorithm,
    keep_free_text: bool = False,
) -> None:
    """Write labels as a DICOM RT Structure Set.

    Each segment is a region of interest (ROI), also where it has no voxel: then it has no contours (PS3.3 C.8.8.6).
    Contours follow the edges of pixels, so that the centres of the pixels inside are those of the label. A hole is cut
    out by a keyhole (PS3.3 C.8.8.6.3): a contour says all by itself what is inside, and a reader may add up contours or
    take them by XOR. Of the source it takes over the patient, the study and the frame of reference.

    Args:
        labels: (x, y, z), integers, in the grid of the series: n is the segment n, 0 is background.
        sources: the DICOM files of the series, one a slice, in the order of z.
        segments: of each its ``label``, the codes of its ``category`` and ``type``, optionally those of a ``modifier``
            and of the anatomic ``region``, each as (value, scheme, meaning), and optionally its ``color``, RGB to 255.
        path: the file to write; it appears once it is complete.
        algorithm: what made the labels.
        keep_free_text: see :func:`read_source`.

    Raises:
        DataError: if a source is not DICOM, or lacks what a structure set must refer to.
        ValueError: if the labels are not those of the images and segments.
    """
    headers = [read_source(source, keep_free_text) for source in sources]
    first = headers[0]
    if labels.shape != (first.Columns, first.Rows, len(headers)) or labels.max() > len(segments):
        raise ValueError(
            f"labels of {labels.shape}, up to {labels.max()}, are not those of {len(headers)} images of "
            f"{first.Columns} x {first.Rows} and {len(segments)} segments."
        )
    if "FrameOfReferenceUID" not in first:
        raise DataError(
            f"{sources[0]}: lacks FrameOfReferenceUID (0020,0052), without which contours have no place. Export the "
            "series again, or write NIfTI: --format nifti."
        )
    settings = {"segments": segments, "free_text": keep_free_text}
    structures = highdicom.SOPClass(
        study_instance_uid=first.StudyInstanceUID,
        series_instance_uid=uid_of("series of contours", algorithm, headers, labels, **settings),
        series_number=SERIES_NUMBER + 1000 + int(first.get("SeriesNumber") or 0) % 1000,
        sop_instance_uid=uid_of("contours", algorithm, headers, labels, **settings),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        **equipment(algorithm),
        series_description=f"{algorithm.name}, contours"[:64],
        # implicit VR, the default: an explicit one has 16 bits for the length of ContourData (PS3.5 7.1.2)
    )
    if "SpecificCharacterSet" in first:  # not by the constructor, which refuses some that are allowed, as of Japan
        structures.SpecificCharacterSet = first.SpecificCharacterSet
    structures.copy_patient_and_study_information(first)
    structures.OperatorsName = None
    structures.FrameOfReferenceUID = first.FrameOfReferenceUID
    structures.PositionReferenceIndicator = first.get("PositionReferenceIndicator")
    structures.ApprovalStatus = "UNAPPROVED"
    structures.StructureSetLabel = algorithm.name[:16]
    structures.StructureSetName = algorithm.name
    structures.StructureSetDate = structures.InstanceCreationDate
    structures.StructureSetTime = structures.InstanceCreationTime
    structures.ReferencedFrameOfReferenceSequence = [_refer(headers)]
    labels = labels.astype(np.uint8)
    rois, contours, observations = [], [], []
    for number, (segment, box) in enumerate(zip(segments, find_objects(labels, len(segments)), strict=True), start=1):
        rois.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID,
                ROIName=segment["label"],
                ROIGenerationAlgorithm=algorithm.type,
                ROIDerivationAlgorithmIdentificationSequence=identify(algorithm),
            )
        )
        contours.append(_describe_contours(number, segment, _trace(labels, number, box, headers) if box else []))
        observations.append(_observe(number, segment))
    structures.StructureSetROISequence = rois
    structures.ROIContourSequence = contours
    structures.RTROIObservationsSequence = observations
    with atomic_path(path) as scratch:
        structures.save_as(scratch)


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Closed polygons around the pixels of a mask, holes joined to what surrounds them by channels without a width.

    Pixels that touch at a corner alone are apart. A channel runs along a row, a quarter of a pixel beside the centres,
    so that it does not touch a centre. An outline encloses an eighth of a pixel less than its pixels have,
    since it rounds off corners.

    Args:
        mask: (x, y), bool.

    Returns:
        for each polygon its points, (n, 2), in pixels: (0, 0) is the centre of the first; not closed by
        repeating the first.
    """
    fine = np.pad(mask, 1).repeat(2, axis=0).repeat(2, axis=1)  # four a pixel, so that lines run beside centres
    curves = [curve[:-1] for curve in find_contours(fine.astype(float), LEVEL)]
    # find_contours has low values on the left: it goes round holes the other way
    outer = [curve for curve in curves if _signed_area(curve) < 0]
    holes = [curve for curve in curves if _signed_area(curve) > 0]
    for hole in sorted(holes, key=lambda curve: curve[:, 0].min()):
        hole = np.roll(hole, -hole[:, 0].argmin(), axis=0)
        x, y = hole[0]
        # from its leftmost point to the next point to the left: of the outer curve, or of a hole that is joined to it
        reach = [np.where((curve[:, 1] == y) & (curve[:, 0] < x), curve[:, 0], -1) for curve in outer]
        which = int(np.argmax([along.max() for along in reach]))
        at = int(reach[which].argmax())
        outer[which] = np.concatenate([outer[which][: at + 1], hole, hole[:1], outer[which][at:]])
    return [_corners(curve) / 2 - 1.25 for curve in outer]


def _signed_area(curve: np.ndarray) -> float:
    x, y = curve.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _corners(curve: np.ndarray) -> np.ndarray:
    """The points at which a closed curve turns."""
    x, y = (np.roll(curve, -1, axis=0) - curve).T
    return curve[np.abs(np.roll(x, 1) * y - np.roll(y, 1) * x) > 1e-6]


def _trace(
    labels: np.ndarray, number: int, box: tuple[slice, slice, slice], headers: Sequence[Dataset]
) -> list[Dataset]:
    """The contours of one label, all of which lies in a box of the grid."""
    contours: list[Dataset] = []
    along_x, along_y, along_z = box
    for z in range(along_z.start, along_z.stop):
        header = headers[z]
        row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
        spacing_y, spacing_x = map(float, header.PixelSpacing)  # between rows, between columns (PS3.3 10.7.1.3)
        to_millimetres = np.array([row * spacing_x, column * spacing_y])
        first_pixel = np.array(header.ImagePositionPatient, float)
        for polygon in outline(labels[along_x, along_y, z] == number):
            points = first_pixel + (polygon + np.array([along_x.start, along_y.start])) @ to_millimetres
            contour = _item(
                ContourNumber=len(contours) + 1,
                ContourImageSequence=[_image(header)],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
            )
            # as text: pydicom makes an object of each number, which is most of the time for a whole CT
            text = "\\".join(map(str, points.round(DECIMALS).ravel().tolist()))
            contour.add(DataElement("ContourData", "DS", text, already_converted=True))
            contours.append(contour)
    return contours


def _describe_contours(number: int, segment: dict[str, Any], contours: list[Dataset]) -> Dataset:
    described = _item(ReferencedROINumber=number)
    if "color" in segment:
        described.ROIDisplayColor = list(segment["color"])
    if contours:  # a sequence without items may not be there
        described.ContourSequence = contours
    return described


def _observe(number: int, segment: dict[str, Any]) -> Dataset:
    kind = code(segment["type"])
    if "modifier" in segment:
        kind.SegmentedPropertyTypeModifierCodeSequence = [code(segment["modifier"])]
    observed = _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        SegmentedPropertyCategoryCodeSequence=[code(segment["category"])],
        RTROIIdentificationCodeSequence=[kind],
        RTROIInterpretedType="ORGAN",
        ROIInterpreter=None,
    )
    if "region" in segment:
        observed.AnatomicRegionSequence = [code(segment["region"])]
    return observed


def _refer(headers: Sequence[Dataset]) -> Dataset:
    """The frame of reference, with the study, the series and each image."""
    first = headers[0]
    series = _item(
        SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=[_image(header) for header in headers]
    )
    study = _item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _image(header: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


class SaveRTStructd(SaveFiled):
    """Writes each volume of labels as a DICOM RT Structure Set, see :func:`write_rtstruct`.

    Args:
        keys: labels of shape (1, x, y, z), MetaTensors that know the file of their image.
        layout: gives the name of each file.
        segments: what the labels are, as the bundle's ``metadata.json`` says.
        algorithm: what made them.
        keep_free_text: see :func:`read_source`.
        sources_key: the image's DICOM files, in the order of z.
    """

    def __init__(
        self,
        keys: KeysCollection,
        layout: OutputLayout,
        segments: Sequence[dict[str, Any]],
        algorithm: Algorithm,
        keep_free_text: bool = False,
        sources_key: str = "sources",
    ):
        super().__init__(keys, layout)
        self.segments = segments
        self.algorithm = algorithm
        self.keep_free_text = keep_free_text
        self.sources_key = sources_key

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        labels = np.asarray(data[key][0].cpu())
        write_rtstruct(labels, data[self.sources_key], self.segments, path, self.algorithm, self.keep_free_text)
