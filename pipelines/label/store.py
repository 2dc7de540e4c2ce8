"""MONAI Label's datastore on a DICOMweb service, for radiographs and CT."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
from cachetools import TTLCache, cached
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.utils.convert import binary_to_image
from monailabel.datastore.utils.dicom import dicom_web_download_series, dicom_web_upload_dcm
from monailabel.interfaces.datastore import DefaultLabelTag
from pydicom.dataset import Dataset

from transforms import DataError
from transforms.files.dicom import open_dicom
from transforms.files.nifti import open_nifti

from ..bundle import Bundle
from ..dicom.algorithm import Algorithm
from ..dicom.segmentation import write_segmentation
from .answers import UnknownImageError
from .labels import no_label, read_labels
from .series import on_grid, series_files, series_to_nifti

logger = logging.getLogger(__name__)

LISTING_SECONDS = 30  # how long a listing of the store is taken for true
CACHE = Path.home() / ".cache" / "radbundles" / "dicomweb-1"  # the number is that of what is kept there


class RadiologyStore(DICOMWebDatastore):
    """MONAI Label's store on a DICOMweb service, for radiographs and CT. An image is a series.

    MONAI Label hands images to bundles as NIfTI. Here they are made by the bundles' own readers: a radiograph as it is
    meant to be shown, with its window and its polarity, which a conversion by ITK drops; a CT in the order of its
    positions, refused where slices are missing.

    Saved labels become DICOM Segmentations with the bundles' codes, of radiographs without geometry too. For training
    they are read back from the service each time: an image's label is its newest segmentation with a segment that the
    trained bundle has, by its codes and not its number. What no person has seen (``AUTOMATIC``) or is fractional is
    not a label.

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
            if not self._client.search_for_series(search_filters={"SeriesInstanceUID": image_id}):
                raise UnknownImageError(image_id)
            folder = self._downloaded(image_id)
            with tempfile.TemporaryDirectory() as scratch:
                made = Path(scratch) / path.name
                series_to_nifti(folder, made)
                # nothing else: what MONAI Label knows about an image goes into its log
                super(DICOMWebDatastore, self).add_image(image_id, str(made), {"SeriesInstanceUID": image_id})
        return str(path)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """The labelled images, for :attr:`trained`, as the service has them now."""
        entries = []
        for image_id, segmentation in self._newest_segmentations().items():
            image = open_nifti(Path(self.get_image_uri(image_id)))
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
                image = open_nifti(Path(image_uri))
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
        bundle = self.bundles.get(label_info.get("model", ""))
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
            try:
                header = open_dicom(file, inflate=False, stop_before_pixels=True)
            except DataError as error:
                logger.info("segmentation %s is no label for %s: %s", series.SeriesInstanceUID, self.trained, error)
                continue
            referenced = header.get("ReferencedSeriesSequence")
            image = str(referenced[0].SeriesInstanceUID) if referenced else ""
            why_not = no_label(header, self.bundles[self.trained].segments)
            if image in images and why_not:
                logger.info(
                    "segmentation %s is not a label for %s: %s", series.SeriesInstanceUID, self.trained, why_not
                )
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
