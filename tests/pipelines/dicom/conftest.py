"""What the tests of DICOM objects share: images to refer to, and what made the mask."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from pipelines.dicom.algorithm import Algorithm
from tests.running import bundle_of
from transforms import CTReader

ALGORITHM = Algorithm("Organs of a test", "1.2.3, weights 0123", "0123456789abcdef" * 4)
COLUMNS, ROWS = 30, 20
UIDS = {"StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.2"}
DX = {
    **{"SOPClassUID": DigitalXRayImageStorageForPresentation, "Modality": "DX", "PixelSpacing": None},
    **{"ImagerPixelSpacing": [0.15, 0.14], "PatientOrientation": ["L", "F"], "FrameOfReferenceUID": "1.2.3.4"},
    **{"StudyDate": "20200131", "StudyTime": "101112", "StudyID": "7", "AccessionNumber": "A1", "PatientSex": "F"},
}

STUDY = {
    **{"PatientBirthDate": "19500101", "PatientSex": "F", "StudyDate": "20200131", "StudyTime": "101112"},
    **{"StudyID": "7", "AccessionNumber": "A1", "ReferringPhysicianName": "", "InstanceNumber": 1, "SeriesNumber": 2},
    **{"Manufacturer": "Maker", "PatientOrientation": ["L", "F"], "ViewPosition": "PA", "ContentDate": "20200131"},
    **{"ContentTime": "101112", "ImageType": ["ORIGINAL", "PRIMARY", ""], "BurnedInAnnotation": "NO"},
}


def _coded(value: str, scheme: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


# Radiographs with all that their own definitions ask for (PS3.3 A.2 and A.26), and no frame of reference.
WHOLE = {
    "CR": {
        **UIDS,
        **STUDY,
        **{"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CR", "BodyPartExamined": "CHEST"},
        **{"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.1]},
    },
    "DX": {
        **UIDS,
        **STUDY,
        **{"SOPClassUID": DigitalXRayImageStorageForPresentation, "Modality": "DX", "PixelSpacing": None},
        **{"ImagerPixelSpacing": [0.15, 0.14], "PresentationIntentType": "FOR PRESENTATION", "PositionerType": ""},
        **{"ImageLaterality": "U", "AnatomicRegionSequence": _coded("51185008", "SCT", "Chest")},
        **{"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1, "RescaleIntercept": 0},
        **{"RescaleSlope": 1, "RescaleType": "US", "PresentationLUTShape": "IDENTITY", "LossyImageCompression": "00"},
        **{"DetectorType": "DIRECT", "AcquisitionContextSequence": [], "WindowCenter": 128, "WindowWidth": 256},
        **{"VOILUTFunction": "LINEAR", "BodyPartExamined": "CHEST"},
    },
}


def segments_of(bundle: str) -> list[dict[str, Any]]:
    return bundle_of(bundle).segments


@pytest.fixture
def radiograph(write_dicom):
    return lambda **tags: write_dicom(np.zeros((ROWS, COLUMNS), np.uint8), **{**UIDS, **tags})


@pytest.fixture(scope="module")
def oblique(ct_cohort):
    """An oblique CT of the phantoms: its volume, its labels on its own grid, and those in NIfTI."""
    reader = CTReader()
    folder = sorted((ct_cohort / "train_images").iterdir())[1]
    (series,) = folder.iterdir()
    volume = reader.open(series)
    truth = nibabel.load(ct_cohort / "segmentations" / f"{series.name}.nii.gz")
    index = np.indices(volume.shape).reshape(3, -1)
    to_truth = np.linalg.inv(truth.affine) @ volume.affine
    place = np.rint(to_truth[:3, :3] @ index + to_truth[:3, 3:]).astype(int)
    labels = np.asarray(truth.dataobj, np.uint8)[tuple(place)].reshape(volume.shape)
    header = pydicom.dcmread(volume.files[0])
    assert not np.isin(np.abs(header.ImageOrientationPatient), (0, 1)).all()
    return volume, labels, truth
