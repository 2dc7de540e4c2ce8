"""What MONAI Label's application needs beside its own to serve radiographs.

Runs inside the server, in an environment with monailabel (and so pydicom 2); nothing else imports it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if torch.version.cuda is None:
    # monailabel imports torchvision, and the one that pip finds is built for GPUs: beside torch for CPUs its import
    # fails because these two operators are missing, which no bundle uses
    _operators = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from monai.data import partition_dataset
from monailabel.config import settings
from monailabel.interfaces.app import DICOMwebClientX, create_session_from_user_pass
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.activelearning.epistemic import Epistemic

from networks import read_checkpoint
from transforms import DataError

from ..bundle import WEIGHTS, Bundle
from .answers import UnknownImageError
from .store import RadiologyStore

if TYPE_CHECKING:
    from monailabel.interfaces.app import MONAILabelApp as Application
else:  # MONAI Label takes a class with this base for the application itself
    Application = object

VAL_SPLIT = 0.2  # what MONAI Label takes if a request does not say
LOSSLESS = {".jpg": ".png", ".jpeg": ".png", ".dcm": ".nii.gz"}  # what results are written as for these images


class RadiologyApp(Application):
    """To be put before MONAI Label's application class monaibundle.

    Masks of JPEG files come back as PNG, since JPEG would blur them; those of DICOM files and folders as NIfTI, unless
    the client asks otherwise. ``epistemic`` is among the strategies of active learning: the image of which the model
    is least sure. A DICOMweb store is a :class:`RadiologyStore`. Weights that are not those that ``model.json``
    describes are refused: MONAI Label loads them itself and does not look.
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
                    f"the store has no segmentation with a segment of {store.trained} that a person took part in. "
                    "Save labels of its images first."
                )
        self._check_split(request, store)
        return super().train(request)

    def _check_split(self, request: dict[str, Any], store: Datastore) -> None:
        """Refuse a training of which no model could come: none is chosen without a validation."""
        share, labels = float(request.get("val_split", VAL_SPLIT)), len(store.datalist())
        if share < 0:  # the bundle brings its own images to validate on
            return
        trained, validated = partition_dataset(range(labels), ratios=[1 - share, share]) if 0 < share < 1 else ([], [])
        if labels and not (trained and validated):
            raise DataError(
                f"{request.get('model')}: of {labels} labelled image{'s' if labels > 1 else ''} and a val_split of "
                f"{share:g}, nothing could be validated, and so no model chosen. Save more labels, or give a larger "
                "val_split below 1."
            )

    def scoring(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        self._check_weights(request.get("method"))  # which is named as the model
        return super().scoring(request, datastore)

    def _check_weights(self, model: str | None, file: str | list[str] | None = None) -> None:
        name = file if isinstance(file, str) else file[0] if file else Path(WEIGHTS).name
        if model:
            path = Path(self.model_dir) / model / Path(WEIGHTS).parent / Path(name).name
            if path.is_file():
                _read_once(path, path.stat().st_mtime_ns)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        self._check_weights(request.get("model"), request.get("model_filename"))
        image = request["image"]
        if isinstance(image, str):
            path = image if os.path.exists(image) else (datastore or self.datastore()).get_image_uri(image)
            if not path:
                raise UnknownImageError(image)
            suffix = ".dcm" if os.path.isdir(path) else Path(path).suffix.lower()
            if suffix in LOSSLESS:
                request = {"result_extension": LOSSLESS[suffix], **request}
        return super().infer(request, datastore)


@lru_cache
def _read_once(path: Path, changed: int) -> None:
    read_checkpoint(path)
