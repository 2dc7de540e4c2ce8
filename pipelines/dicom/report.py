"""Writes found boxes as a DICOM Structured Report: a TID 1500 Measurement Report, as Comprehensive 3D SR."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from transforms import Box, OutputLayout, SaveFiled, mask_to_boxes
from transforms.files.atomic import atomic_path

from .algorithm import Algorithm
from .source import SERIES_NUMBER, code, equipment, highdicom, read_source, uid_of

sr = highdicom.sr  # from there, so that what to install is said where it is missing
PLAIN_RADIOGRAPH = ("399208008", "SCT", "Plain X-ray of chest")
DEVICE_ROOT = "2.25"  # UIDs made of a hash (PS3.5 B.2)


def write_report(
    found: Sequence[tuple[float, Box]],
    source: os.PathLike | str,
    finding: dict[str, Any],
    path: os.PathLike | str,
    algorithm: Algorithm,
    keep_free_text: bool = False,
) -> None:
    """Write the boxes found on one radiograph as an unverified Structured Report.

    Each box is a closed polyline in pixels of the image, from the first pixel's upper left corner (PS3.3 C.18.6.1.1),
    with the certainty of the finding in percent. Without any box the report says that the finding is absent.

    Args:
        found: ``(confidence, (x, y, width, height))``, the confidence 0 to 1, as :func:`transforms.mask_to_boxes`.
        source: the radiograph, a DICOM file.
        finding: ``type`` and optionally ``region``: codes, as those of a segment.
        path: the file to write; it appears once it is complete.
        algorithm: what found the boxes.
        keep_free_text: see :func:`read_source`.

    Raises:
        DataError: if the source is not DICOM or has no identity.
    """
    header = read_source(source, keep_free_text)
    image = header.SOPClassUID, header.SOPInstanceUID

    def uid(kind: str) -> UID:
        return uid_of(kind, algorithm, [header], [*found], finding=finding, free_text=keep_free_text)

    common: dict[str, Any] = {
        "finding_type": code(finding["type"]),
        "finding_sites": [sr.FindingSite(code(finding["region"]))] if "region" in finding else None,
        "algorithm_id": sr.AlgorithmIdentification(name=algorithm.name, version=algorithm.version),
    }
    groups: list[Any] = []
    for number, (confidence, (x, y, width, height)) in enumerate(found, start=1):
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        region = sr.ImageRegion("POLYLINE", np.array(corners, float), sr.SourceImageForRegion(*image))
        certainty = sr.Measurement(codes.DCM.CertaintyOfFinding, round(100 * confidence, 2), codes.UCUM.Percent)
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid(f"finding {number}"), f"finding {number}"),
                referenced_region=region,
                measurements=[certainty],
                **common,
            )
        )
    if not groups:
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid("no finding"), "no finding"),
                qualitative_evaluations=[sr.QualitativeEvaluation(code(finding["type"]), codes.SCT.Absent)],
                source_images=[sr.SourceImageForMeasurementGroup(*image)],
                **common,
            )
        )
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=f"{DEVICE_ROOT}.{int(algorithm.weights[:24], 16)}",
            name=algorithm.name,
            model_name=algorithm.name,
            serial_number=algorithm.weights[:16],
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=code(PLAIN_RADIOGRAPH),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = equipment(algorithm)
    report = sr.Comprehensive3DSR(
        evidence=[header],
        content=content[0],
        series_instance_uid=uid("series of a report"),
        series_number=SERIES_NUMBER + 500 + int(header.get("SeriesNumber") or 0) % 500,
        sop_instance_uid=uid("report"),
        instance_number=1,
        manufacturer=made.pop("manufacturer"),
        is_complete=True,
        **made,
        series_description=f"{algorithm.name}, report"[:64],
    )
    with atomic_path(path) as scratch:
        report.save_as(scratch)


class SaveReportd(SaveFiled):
    """Writes the boxes around what is predicted on each radiograph, see :func:`write_report`.

    Around each part of the mask, however small or unsure: a finding is called absent where the mask is empty, and not
    elsewhere.

    Args:
        keys: probabilities of shape (1, x, y), 0 to 1, MetaTensors that know the file of their image.
        layout: gives the name of each file.
        threshold: a pixel at or above it belongs to a box.
        finding: what is in the boxes.
        algorithm: what found it.
        keep_free_text: see :func:`read_source`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        layout: OutputLayout,
        threshold: float,
        finding: dict[str, Any],
        algorithm: Algorithm,
        keep_free_text: bool = False,
    ):
        super().__init__(keys, layout)
        self.threshold = threshold
        self.finding = finding
        self.algorithm = algorithm
        self.keep_free_text = keep_free_text

    def write(self, data: Mapping[Hashable, Any], key: Hashable, path: Path) -> None:
        found = mask_to_boxes(data[key], self.threshold, least_area=0)
        source = data[key].meta["filename_or_obj"]
        write_report(found, source, self.finding, path, self.algorithm, self.keep_free_text)
