"""What MONAI Label's application needs beside its own to serve radiographs, and to keep labels in a DICOM store.

Runs inside the server, in an environment with monailabel (and so pydicom 2); nothing else imports it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

if torch.version.cuda is None:
    # monailabel imports torchvision, and the one that pip finds is built for GPUs: beside torch for CPUs its import
    # fails for want of these two operators, which no bundle uses
    _operators = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import highdicom
import pydicom
from cachetools import TTLCache, cached
from monai.transforms import LoadImage
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.utils.dicom import dicom_web_download_series, dicom_web_upload_dcm
from monailabel.interfaces.app import DICOMwebClientX, create_session_from_user_pass
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.activelearning.epistemic import Epistemic
from pydicom.dataset import Dataset

from transforms import CTReader, DataError, RadiographReader, match_grid

from .dicom_seg import Algorithm, write_segmentation

logger = logging.getLogger(__name__)

LOSSLESS = {".jpg": ".png", ".jpeg": ".png", ".dcm": ".nii.gz"}  # what results are written as for these images
LISTING_SECONDS = 30  # how long a listing of the store is taken for true


class RadiologyApp:
    """To be put before MONAI Label's application class monaibundle.

    Masks of JPEG files come back as PNG, since JPEG would blur them; those of DICOM files and folders as NIfTI, unless
    the client asks otherwise. ``epistemic`` is among the strategies of active learning: the image of which the model
    is least sure. A DICOMweb store is a :class:`RadiologyStore`.
    """

    conf: dict[str, str]
    studies: str
    model_dir: str

    def _init_dicomweb_datastore(self) -> Datastore:
        user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
        client = DICOMwebClientX(
            url=self.studies,
            session=create_session_from_user_pass(user, password) if user and password else None,
            qido_url_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_url_prefix=settings.MONAI_LABEL_WADO_PREFIX,
            stow_url_prefix=settings.MONAI_LABEL_STOW_PREFIX,
        )
        bundles = [Path(self.model_dir) / name for name in self.conf["models"].split(",")]
        modalities = self.conf["modalities"].split(",")
        return RadiologyStore(client, modalities, bundles, settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or None)

    def init_strategies(self) -> dict[str, Any]:
        return {**super().init_strategies(), "epistemic": Epistemic()}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        image = request["image"]
        if isinstance(image, str):
            path = image if os.path.exists(image) else (datastore or self.datastore()).get_image_uri(image)
            suffix = ".dcm" if os.path.isdir(path) else Path(path).suffix.lower()
            if suffix in LOSSLESS:
                request = {"result_extension": LOSSLESS[suffix], **request}
        return super().infer(request, datastore)


class RadiologyStore(DICOMWebDatastore):
    """MONAI Label's store on a DICOMweb service, for radiographs and CT. An image is a series.

    MONAI Label hands images to bundles as NIfTI. Here they are made by the bundles' own readers: a radiograph as it is
    meant to be shown, with its window and its polarity, which a conversion by ITK drops; a CT in the order of its
    positions, refused where slices are missing. Saved labels become DICOM Segmentations with the bundles' codes, of
    radiographs without geometry too, and are read back from such.

    Args:
        client: of the service.
        modalities: of the series that are images.
        bundles: whose segments labels may be, see ``dicom_segments`` in their ``metadata.json``.
        cache_path: where images and labels are kept; a folder below the home by default.
    """

    def __init__(self, client: Any, modalities: Sequence[str], bundles: Sequence[Path], cache_path: str | None):
        self.modalities = modalities
        self.bundles = {root.name: json.loads((root / "configs" / "metadata.json").read_text()) for root in bundles}
        self.weights = {root.name: root / "models" / "model.pt" for root in bundles}
        super().__init__(client=client, search_filter={}, cache_path=cache_path)

    @cached(cache=TTLCache(maxsize=16, ttl=LISTING_SECONDS))
    def list_images(self) -> list[str]:
        # DICOMweb matches one value at a time
        found = [
            Dataset.from_json(series)
            for modality in self.modalities
            for series in self._client.search_for_series(search_filters={"Modality": modality})
        ]
        return [str(series.SeriesInstanceUID) for series in found]

    @cached(cache=TTLCache(maxsize=16, ttl=LISTING_SECONDS))
    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return [pair["image"] for pair in self._pairs()]

    def get_image_uri(self, image_id: str) -> str:
        folder = self._downloaded(image_id, self._datastore.image_path())
        path = Path(self._datastore.image_path()).resolve() / f"{image_id}.nii.gz"
        if not path.exists():
            with tempfile.TemporaryDirectory() as scratch:
                made = Path(scratch) / path.name
                series_to_nifti(folder, made)
                super(DICOMWebDatastore, self).add_image(image_id, str(made), self._dicom_info(image_id))
        return str(path)

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """The label of an image as NIfTI in the image's grid; ``label_id`` is the series of the segmentation."""
        if label_tag != DefaultLabelTag.FINAL or not image_id:
            return super(DICOMWebDatastore, self).get_label_uri(label_id, label_tag)
        path = Path(self._datastore.label_path(label_tag)).resolve() / f"{image_id}.nii.gz"
        if not path.exists() or self.get_label_info(image_id, label_tag).get("SeriesInstanceUID") != label_id:
            folder = self._downloaded(label_id, self._datastore.label_path(label_tag))
            image = nibabel.load(self.get_image_uri(image_id))
            files = series_files(self._downloaded(image_id, self._datastore.image_path()))
            with tempfile.TemporaryDirectory() as scratch:
                made = Path(scratch) / path.name
                labels = read_labels(next(folder.iterdir()), files).reshape(image.shape)
                nibabel.save(nibabel.Nifti1Image(labels, image.affine), made)
                super(DICOMWebDatastore, self).save_label(image_id, str(made), label_tag, self._dicom_info(label_id))
        return str(path)

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a label; a final one goes to the service too, as a DICOM Segmentation in the study of its image."""
        if label_tag == DefaultLabelTag.FINAL:
            segments, algorithm = self._described(label_info)
            image = nibabel.load(self.get_image_uri(image_id))
            files = series_files(self._downloaded(image_id, self._datastore.image_path()))
            mask = on_grid(label_filename, image)
            if mask.max() > len(segments):
                raise DataError(f"the label has the value {mask.max()}, and {len(segments)} segments are named.")
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "label.dcm"
                write_segmentation(mask[..., 0] if len(files) == 1 else mask, files, segments, path, algorithm)
                series = dicom_web_upload_dcm(str(path), self._client)
                if not series:
                    raise DataError("the DICOM store did not take the segmentation: see its log.")
                label_info = label_info | {"SeriesInstanceUID": series}
                kept = Path(scratch) / "label.nii.gz"
                nibabel.save(nibabel.Nifti1Image(mask, image.affine), kept)
                return super(DICOMWebDatastore, self).save_label(image_id, str(kept), label_tag, label_info)
        return super(DICOMWebDatastore, self).save_label(image_id, label_filename, label_tag, label_info)

    def _described(self, label_info: dict[str, Any]) -> tuple[list[dict[str, Any]], Algorithm]:
        """The segments of a label, by their values, and what made it: a model, or a person who drew or corrected."""
        bundle = label_info.get("model")
        if bundle in self.bundles:
            metadata = self.bundles[bundle]
            digest = hashlib.sha256(self.weights[bundle].read_bytes()).hexdigest()
            version = f"{metadata['version']}, weights {digest[:12]}"
            return metadata["dicom_segments"], Algorithm(metadata["name"], version, digest)
        person = Algorithm("MONAI Label", "0.8", "0" * 16, type="SEMIAUTOMATIC")
        names = [str(info.get("name", "")).lower() for info in label_info.get("label_info") or []]
        known = {s["label"].lower(): s for metadata in self.bundles.values() for s in metadata["dicom_segments"]}
        if not names and len(self.bundles) == 1:
            return next(iter(self.bundles.values()))["dicom_segments"], person
        if not names or set(names) - set(known):
            raise DataError(
                f"the label's segments are {', '.join(names) or 'not named'}. Give label_info with a name for each "
                f"value, in their order, of: {', '.join(known)}."
            )
        return [known[name] for name in names], person

    def _pairs(self) -> list[dict[str, str]]:
        """Each image with the newest segmentation of it that the service has."""
        newest: dict[str, tuple[str, str]] = {}
        images = set(self.list_images())
        for found in self._client.search_for_series(search_filters={"Modality": "SEG"}):
            series = Dataset.from_json(found)
            uids = str(series.StudyInstanceUID), str(series.SeriesInstanceUID)
            header = Dataset.from_json(self._client.retrieve_series_metadata(*uids)[0])
            image = str(header.ReferencedSeriesSequence[0].SeriesInstanceUID) if _refers(header) else None
            if image in images:
                made = f"{header.get('ContentDate')} {header.get('ContentTime')}", uids[1]
                newest[image] = max(made, newest.get(image, made))
        return [{"image": image, "label": label} for image, (_, label) in newest.items()]

    def _download_labeled_data(self) -> None:
        for pair in self._pairs():
            self.get_image_uri(pair["image"])
            self.get_label_uri(pair["label"], DefaultLabelTag.FINAL, pair["image"])

    def _downloaded(self, series: str, folder: str) -> Path:
        path = Path(folder).resolve() / series
        if not path.is_dir() or not any(path.iterdir()):
            dicom_web_download_series(None, series, str(path), self._client, self._fetch_by_frame)
        return path


def series_files(folder: Path) -> list[Path]:
    """The files of a radiograph or CT, the slices of the latter in the order of their positions.

    Raises:
        DataError: if it is neither one radiograph nor a CT that :class:`CTReader` takes.
    """
    files = sorted(folder.iterdir())
    if pydicom.dcmread(files[0], stop_before_pixels=True).get("Modality") == "CT":
        return list(CTReader().open(folder).files)
    if len(files) != 1:
        raise DataError(
            f"{folder}: the series holds {len(files)} radiographs. MONAI Label takes a series for an image."
        )
    return files


def series_to_nifti(folder: Path, path: Path) -> None:
    """Write a series as NIfTI: a radiograph's display values, 0 to 1, of shape (x, y, 1), or a CT in HU, (x, y, z).

    Raises:
        DataError: as :func:`series_files`, or as the readers.
    """
    files = series_files(folder)
    if len(files) == 1:
        image = LoadImage(reader=RadiographReader("pixels"), image_only=True)(files[0])
    else:
        image = LoadImage(reader=CTReader(), image_only=True)(folder)
    array = np.atleast_3d(np.asarray(image, np.float32))
    nibabel.save(nibabel.Nifti1Image(array, np.asarray(image.affine, float)), path)


def read_labels(path: Path, sources: Sequence[Path]) -> np.ndarray:
    """Read a DICOM Segmentation of images.

    Returns:
        uint8 of shape (x, y, z), z in the order of the images: the number of the segment, 0 where none is.
    """
    uids = [pydicom.dcmread(source, stop_before_pixels=True).SOPInstanceUID for source in sources]
    segmentation = highdicom.seg.segread(path)
    frames = segmentation.get_pixels_by_source_instance(uids, combine_segments=True, skip_overlap_checks=True)
    return frames.T.astype(np.uint8)


def on_grid(path: os.PathLike | str, image: nibabel.Nifti1Image) -> np.ndarray:
    """Read a label from any file that ITK or nibabel reads, onto its image's grid.

    Returns:
        uint8 of the shape of ``image``, which has three axes.

    Raises:
        DataError: if it is on another grid.
    """
    label = LoadImage(image_only=True)(path)
    array = np.asarray(label).astype(np.uint8)
    if array.ndim == 2:  # of a picture, or of NIfTI that has lost its third axis
        array = array[..., None]
        if array.shape != image.shape:
            raise DataError(f"{Path(path).name}: is of {array.shape[:2]} pixels, its image of {image.shape[:2]}.")
        return array
    axes, flipped = match_grid(np.asarray(label.affine, float), array.shape, image.affine, image.shape, "the label")
    return np.flip(array.transpose(axes), np.flatnonzero(flipped).tolist())


def _refers(header: Dataset) -> bool:
    return bool(header.get("ReferencedSeriesSequence"))
