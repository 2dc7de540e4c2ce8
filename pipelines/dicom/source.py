"""What the DICOM objects that are written have in common: the image that they refer to, and what made them.

Everything that needs highdicom is in this module and those that import it; they are imported only where DICOM is to be
written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, generate_uid

from transforms import DataError
from transforms.files.dicom import open_dicom

from .algorithm import Algorithm

try:
    import highdicom
    from highdicom.sr.coding import CodedConcept
except ImportError as error:
    raise DataError("Writing DICOM needs the package highdicom: run pip install 'highdicom>=0.28'.") from error

logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs the UIDs of everything that it handles

SERIES_NUMBER = 9000  # plus that of the source: above what scanners count to, so that it is listed after them
MANUFACTURER = "radbundles"
REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
# Of the patient and the study, what identifies the study in its archive. Most of what else PS3.3 C.7.1 and C.7.2 have
# is free text, names of staff, and what describes the person, all of which PS3.15 Table E.1-1 removes.
IDENTITY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID"),
    *("PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence"),
    # whether this is not the person's own identity (C.7.1.1)
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
)
IMAGE = (  # which image it is, and where its pixels lie
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "Rows", "Columns"),
    *("NumberOfFrames", "FrameOfReferenceUID", "PositionReferenceIndicator", "PatientOrientation", "PixelSpacing"),
    *("ImagerPixelSpacing", "NominalScannedPixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices"),
    "LossyImageCompression",
)
MAY_BE_EMPTY = (  # type 2 of the patient and the study: they must be there, even without a value (PS3.5 7.4.3)
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
LOSSY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
NOT_PASSED_ON = ("Manufacturer", "SpecimenDescriptionSequence")  # nor what depends on the first


def read_source(path: os.PathLike | str, keep_free_text: bool = False) -> Dataset:
    """The header of an image that a DICOM object is to refer to: without pixels, and as that object needs it.

    What it says is taken over into the object. So it says no more than ``IDENTITY`` and ``IMAGE``.

    Args:
        path: the image.
        keep_free_text: whether all of the patient and the study is kept.

    Raises:
        DataError: if it is not DICOM, or has no identity.
    """
    # highdicom quotes names that it finds odd. Not undone afterwards: other threads may be writing, and filters are one
    # for all of them
    warnings.filterwarnings("ignore", module="highdicom")
    try:
        tags = None if keep_free_text else [*IDENTITY, *IMAGE, *LOSSY]
        header = open_dicom(path, stop_before_pixels=True, specific_tags=tags)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: not a DICOM file, and a DICOM object refers to one. Write PNG or NIfTI: --format."
        ) from error
    missing = [tag for tag in REQUIRED if not header.get(tag)]
    if missing:
        raise DataError(
            f"{path}: lacks {', '.join(missing)}, which a DICOM object must refer to. Export it again, or write PNG "
            "or NIfTI: --format."
        )
    # highdicom of pydicom 2 asks for both where an image was compressed with loss, and many do not say more
    lossy = LOSSY if header.get("LossyImageCompression") == "01" else ()
    for tag in (*MAY_BE_EMPTY, *lossy):
        if not header.get(tag):
            setattr(header, tag, None)
    if header.PatientSex not in ("M", "F", "O"):  # PS3.3 C.7.1.1 knows no other
        header.PatientSex = None
    for tag in NOT_PASSED_ON:
        if tag in header:
            delattr(header, tag)
    if "ImagePositionPatient" not in header and "FrameOfReferenceUID" in header:
        del header.FrameOfReferenceUID  # a frame of reference in which it has no place
    return header


def uid_of(
    kind: str, algorithm: Algorithm, sources: Sequence[Dataset], found: np.ndarray | Sequence[Any], **settings: Any
) -> UID:
    """The UID of an object, or of something in it: the same whenever the same is found on the same images.

    So an archive that gets an object twice holds it once. What a person took part in is new each time.

    Args:
        kind: what has the UID: others that are made of the same have another.
        algorithm: what found it.
        sources: the images' headers.
        found: the array, or what JSON can hold.
        settings: what else the object depends on, as JSON can hold it.
    """
    if algorithm.type != "AUTOMATIC":
        return highdicom.UID()
    if isinstance(found, np.ndarray):
        found = [str(found.dtype), *found.shape, hashlib.sha256(found.tobytes()).hexdigest()]
    images = [(str(header.StudyInstanceUID), str(header.SOPInstanceUID)) for header in sources]
    made_of = json.dumps([kind, asdict(algorithm), images, found, settings], sort_keys=True, default=float)
    return generate_uid(entropy_srcs=[made_of])


def equipment(algorithm: Algorithm) -> dict[str, Any]:
    """What highdicom's objects say of what made them."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": algorithm.name,
        "software_versions": algorithm.version,
        "device_serial_number": algorithm.weights[:16],
    }


def identify(algorithm: Algorithm) -> highdicom.AlgorithmIdentificationSequence:
    """The algorithm as DICOM describes it (PS3.3 10.16)."""
    return highdicom.AlgorithmIdentificationSequence(
        name=algorithm.name, version=algorithm.version, family=codes.DCM.ArtificialIntelligence, source=MANUFACTURER
    )


def code(triplet: Sequence[str]) -> CodedConcept:
    """A code of the bundle's metadata: (value, scheme, meaning)."""
    value, scheme, meaning = triplet
    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)
