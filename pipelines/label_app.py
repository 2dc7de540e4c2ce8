"""What MONAI Label's application needs beside its own to serve radiographs, and to keep labels in a DICOM store.

Runs inside the server, in an environment with monailabel (and so pydicom 2); nothing else imports it.
"""

from __future__ import annotations

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
from monailabel.datastore.utils.convert import binary_to_image
from monailabel.datastore.utils.dicom import dicom_web_download_series, dicom_web_upload_dcm
from monailabel.interfaces.app import DICOMwebClientX, create_session_from_user_pass
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.activelearning.epistemic import Epistemic
from pydicom.dataset import Dataset

from transforms import CTReader, DataError, RadiographReader, match_grid

from .algorithm import Algorithm
from .bundle import Bundle
from .dicom_seg import write_segmentation

logger = logging.getLogger(__name__)

LOSSLESS = {".jpg": ".png", ".jpeg": ".png", ".dcm": ".nii.gz"}  # what results are written as for these images
LISTING_SECONDS = 30  # how long a listing of the store is taken for true
CACHE = Path.home() / ".cache" / "radbundles" / "dicomweb-1"  # the number is that of what is kept there


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
        bundles = [Bundle(Path(self.model_dir) / name) for name in self.conf["models"].split(",")]
        modalities = self.conf["modalities"].split(",")
        return RadiologyStore(client, modalities, bundles, settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip() or None)

    def init_strategies(self) -> dict[str, Any]:
        return {**super().init_strategies(), "epistemic": Epistemic()}

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        store = self.datastore()
        if isinstance(store, RadiologyStore) and request.get("model") in store.bundles:
            store.trained = request["model"]
            if not store.get_labeled_images():
                raise DataError(
                    f"the store has no segmentation with a segment of {store.trained} that a person had a hand in. "
                    "Save labels of its images first."
                )
        return super().train(request)

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
    positions, refused where slices are missing.

    Saved labels become DICOM Segmentations with the bundles' codes, of radiographs without geometry too. For training
    they are read back from the service each time: an image's label is its newest segmentation with a segment that the
    trained bundle has, by its codes and not its number. What no person has seen (``AUTOMATIC``) or is fractional is
    no label.

    Args:
        client: of the service.
        modalities: of the series that are images.
        bundles: whose segments labels may be.
        cache_path: where images and labels are kept; a folder below the home by default, not that of MONAI Label,
            whose images were made otherwise.

    Attributes:
        trained: the name of the bundle that labels are read for; the first where none is set.
    """

    def __init__(self, client: Any, modalities: Sequence[str], bundles: Sequence[Bundle], cache_path: str | None):
        self.modalities = modalities
        self.bundles = {bundle.root.name: bundle for bundle in bundles}  # the links' names, which clients know
        self.trained = next(iter(self.bundles))
        super().__init__(client=client, search_filter={}, cache_path=cache_path or str(CACHE))

    @cached(cache=TTLCache(maxsize=16, ttl=LISTING_SECONDS))
    def list_images(self) -> list[str]:
        # DICOMweb matches one value at a time
        return [str(series.SeriesInstanceUID) for modality in self.modalities for series in self._search(modality)]

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        return list(self._newest_segmentations())

    def get_image_uri(self, image_id: str) -> str:
        path = Path(self._datastore.image_path()).resolve() / f"{image_id}.nii.gz"
        if not path.exists():
            folder = self._downloaded(image_id)
            with tempfile.TemporaryDirectory() as scratch:
                made = Path(scratch) / path.name
                series_to_nifti(folder, made)
                # no more than this: what MONAI Label knows of an image goes into its log
                super(DICOMWebDatastore, self).add_image(image_id, str(made), {"SeriesInstanceUID": image_id})
        return str(path)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """The labelled images, for :attr:`trained`, as the service has them now."""
        entries = []
        for image_id, segmentation in self._newest_segmentations().items():
            image = nibabel.load(self.get_image_uri(image_id))
            labels = read_labels(
                segmentation, series_files(self._downloaded(image_id)), self.bundles[self.trained].segments
            )
            path = Path(self._datastore.label_path(DefaultLabelTag.FINAL)).resolve() / f"{image_id}.nii.gz"
            with tempfile.TemporaryDirectory() as scratch:
                made = Path(scratch) / path.name
                nibabel.save(nibabel.Nifti1Image(labels.reshape(image.shape), image.affine), made)
                super(DICOMWebDatastore, self).save_label(image_id, str(made), DefaultLabelTag.FINAL, {})
            entries.append({"image": self.get_image_uri(image_id), "label": str(path)})
        return entries

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        return super(DICOMWebDatastore, self).get_label_uri(label_id, label_tag)

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a label; a final one goes to the service too, as a DICOM Segmentation in the study of its image."""
        with tempfile.TemporaryDirectory() as scratch:
            if label_tag == DefaultLabelTag.FINAL:
                image_uri = self.get_image_uri(image_id)
                if str(label_filename).endswith(".bin"):  # voxels alone, as OHIF sends them
                    label_filename = binary_to_image(image_uri, label_filename)
                image = nibabel.load(image_uri)
                segments, algorithm = self._described(label_info)
                mask = on_grid(label_filename, image)
                if mask.max() > len(segments):
                    raise DataError(f"the label has the value {mask.max()}, and {len(segments)} segments are named.")
                files = series_files(self._downloaded(image_id))
                path = Path(scratch) / "label.dcm"
                write_segmentation(mask[..., 0] if len(files) == 1 else mask, files, segments, path, algorithm)
                if not dicom_web_upload_dcm(str(path), self._client):
                    raise DataError("the DICOM store did not take the segmentation: see its log.")
                label_filename = str(Path(scratch) / "label.nii.gz")
                nibabel.save(nibabel.Nifti1Image(mask, image.affine), label_filename)
            return super(DICOMWebDatastore, self).save_label(image_id, label_filename, label_tag, label_info)

    def _described(self, label_info: dict[str, Any]) -> tuple[list[dict[str, Any]], Algorithm]:
        """The segments of a label, by their values, and what made it: a model, or a person who drew or corrected."""
        bundle = self.bundles.get(label_info.get("model"))
        if bundle is not None:
            return bundle.segments, bundle.algorithm(bundle.weights)
        person = Algorithm("MONAI Label", "0.8", "0" * 16, type="SEMIAUTOMATIC")
        names = [str(info.get("name", "")).lower() for info in label_info.get("label_info") or []]
        known = {s["label"].lower(): s for bundle in self.bundles.values() for s in bundle.segments}
        if not names and len(self.bundles) == 1:
            return next(iter(self.bundles.values())).segments, person
        if not names or set(names) - set(known):
            raise DataError(
                f"the label's segments are {', '.join(names) or 'not named'}. Give label_info with a name for each "
                f"value, in their order, of: {', '.join(known)}."
            )
        return [known[name] for name in names], person

    def _search(self, modality: str) -> list[Dataset]:
        found = self._client.search_for_series(search_filters={"Modality": modality}, get_remaining=True)
        return [Dataset.from_json(series) for series in found]

    def _newest_segmentations(self) -> dict[str, Path]:
        """The file of the newest segmentation of each image that has one for :attr:`trained`."""
        newest: dict[str, tuple[str, Path]] = {}
        images = set(self.list_images())
        for series in self._search("SEG"):
            file = next(self._downloaded(str(series.SeriesInstanceUID)).iterdir())
            header = pydicom.dcmread(file, stop_before_pixels=True)
            referenced = header.get("ReferencedSeriesSequence")
            image = str(referenced[0].SeriesInstanceUID) if referenced else None
            why_not = no_label(header, self.bundles[self.trained].segments)
            if image in images and why_not:
                logger.info("segmentation %s is no label for %s: %s", series.SeriesInstanceUID, self.trained, why_not)
            elif image in images:
                made = f"{header.get('ContentDate')} {header.get('ContentTime')}", file
                newest[image] = max(made, newest.get(image, made))
        return {image: file for image, (_, file) in newest.items()}

    def _downloaded(self, series: str) -> Path:
        """The folder of a series' files, which is there only if it is complete."""
        path = Path(self._datastore.image_path()).resolve() / series
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.mkdtemp(dir=path.parent, prefix=".")
            dicom_web_download_series(None, series, scratch, self._client, self._fetch_by_frame)
            os.replace(scratch, path)
        return path


def no_label(header: Dataset, segments: Sequence[dict[str, Any]]) -> str | None:
    """What speaks against a segmentation being a label with a bundle's segments, or None."""
    if header.SegmentationType != "BINARY":
        return f"its SegmentationType (0062,0001) is {header.SegmentationType}"
    if {item.SegmentAlgorithmType for item in header.SegmentSequence} == {"AUTOMATIC"}:
        return "no person has had a hand in it: its SegmentAlgorithmType (0062,0008) is AUTOMATIC"
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
    reader = RadiographReader("pixels") if len(files) == 1 else CTReader()
    image = LoadImage(reader=reader, image_only=True)(files)
    array = np.atleast_3d(np.asarray(image, np.float32))
    nibabel.save(nibabel.Nifti1Image(array, np.asarray(image.affine, float)), path)


def read_labels(path: Path, sources: Sequence[Path], segments: Sequence[dict[str, Any]]) -> np.ndarray:
    """Read a DICOM Segmentation of images as a bundle numbers its segments.

    Returns:
        uint8 of shape (x, y, z), z in the order of the images; 0 where none of the bundle's segments is.
    """
    uids = [pydicom.dcmread(source, stop_before_pixels=True).SOPInstanceUID for source in sources]
    segmentation = highdicom.seg.segread(path)
    numbers = numbers_of(segmentation, segments)
    frames = segmentation.get_pixels_by_source_instance(
        uids, segment_numbers=sorted(numbers), assert_missing_frames_are_empty=True
    )
    labels = np.zeros(frames.shape[:-1], np.uint8)  # (z, rows, columns)
    for place, segment in enumerate(sorted(numbers)):
        labels[frames[..., place] > 0] = numbers[segment]
    return labels.T


def on_grid(path: os.PathLike | str, image: nibabel.Nifti1Image) -> np.ndarray:
    """Read a label from any file that ITK or nibabel reads, onto its image's grid.

    Returns:
        uint8 of the shape of ``image``, which has three axes.

    Raises:
        DataError: if it is on another grid.
    """
    label = LoadImage(image_only=True)(path)
    values = np.asarray(label)
    array = values.astype(np.uint8)
    if not np.array_equal(array, values):
        raise DataError(f"{Path(path).name}: holds values that are no whole numbers of 0 to 255.")
    if array.ndim == 2:  # of a picture, or of NIfTI that has lost its third axis
        array = array[..., None]
        if array.shape != image.shape:
            raise DataError(f"{Path(path).name}: is of {array.shape[:2]} pixels, its image of {image.shape[:2]}.")
        return array
    axes, flipped = match_grid(np.asarray(label.affine, float), array.shape, image.affine, image.shape, "the label")
    return np.flip(array.transpose(axes), np.flatnonzero(flipped).tolist())
