"""DICOM's own network protocol (PS3.7, PS3.8), by pynetdicom: who sends images, and who gets answers by C-STORE."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from transforms import DataError

from .spool import FullError
from .uids import uid_in

try:
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # it makes its names as it is imported
except ImportError as error:
    raise DataError("Listening needs the package pynetdicom: run pip install 'radbundles[archive]'.") from error

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs the UIDs of everything that it handles
logger = logging.getLogger(__name__)

RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
)
ANSWERS = (SegmentationStorage, Comprehensive3DSRStorage, RTStructureSetStorage)
SUCCESS, OUT_OF_RESOURCES, NOT_ITS_CLASS = 0x0000, 0xA700, 0xA900  # of PS3.4 B.2.3
WARNINGS = (0xB000, 0xB006, 0xB007)
TITLE = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")  # of PS3.5 6.2, without spaces around it


class PeerError(Exception):
    """The peer did not take an answer. ``again``: whether a new try can help."""

    def __init__(self, message: str, again: bool):
        super().__init__(message)
        self.again = again


class Peer(NamedTuple):
    """An application entity elsewhere."""

    title: str
    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Peer:
        """A peer that is given as ``TITLE@HOST:PORT``.

        Raises:
            DataError: if it is none.
        """
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise DataError(f"{text}: is no peer. Give one as TITLE@HOST:PORT, such as PACS@127.0.0.1:4242.")
        return cls(check_title(title), host.strip("[]"), int(port))

    def send(self, files: Sequence[Path], own_title: str, sent: Callable[[Path], Any]) -> None:
        """Send DICOM files by C-STORE, in one association.

        Args:
            files: of the classes in ``ANSWERS``.
            own_title: that of the sender.
            sent: is called with each that the peer has taken.

        Raises:
            PeerError: at the first that it did not take.
        """
        entity = AE(ae_title=own_title)
        entity.acse_timeout, entity.connection_timeout = 10, 10
        for kind in ANSWERS:
            entity.add_requested_context(kind)
        association = entity.associate(self.host, self.port, ae_title=self.title)
        if not association.is_established:
            why = "rejects the association: does it know the title?" if association.is_rejected else "cannot be reached"
            raise PeerError(f"{self.title}@{self.host}:{self.port} {why}", again=True)
        try:
            for file in files:
                try:
                    status = association.send_c_store(file).get("Status")
                except ValueError:  # no context was accepted for the class
                    raise PeerError(f"{self.title} does not take the class of object", again=False) from None
                if status is None or status & 0xFF00 == OUT_OF_RESOURCES:
                    raise PeerError(f"{self.title} did not take an answer ({_said(status)})", again=True)
                if status != SUCCESS and status not in WARNINGS:
                    raise PeerError(f"{self.title} refused an answer ({_said(status)})", again=False)
                sent(file)
        finally:
            association.release()


def check_title(title: str) -> str:
    """An application entity's title: 1 to 16 characters (PS3.5 6.2).

    Raises:
        DataError: if it is none.
    """
    if not TITLE.fullmatch(title):
        raise DataError(f"{title!r}: is no title of an application entity, which has 1 to 16 characters.")
    return title


def serve(
    title: str, host: str, port: int, allowed: Sequence[str], volumes: bool, keep: Callable[[str, str, bytes], None]
) -> Any:
    """Start to take images by C-STORE, in threads of their own; answers C-ECHO too.

    Args:
        title: what a sender must call.
        host: of this machine, to listen at.
        port: of it.
        allowed: titles that a sender may have; any, if empty.
        volumes: whether CT is taken, or radiographs.
        keep: is called with the UIDs of the series and the instance, and the file. A sender is told that its image was
            taken once this has returned.

    Returns:
        the server, whose ``shutdown()`` ends it.

    Raises:
        DataError: if nothing can listen there.
    """
    entity = AE(ae_title=title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(allowed)
    entity.add_supported_context(Verification)
    for kind in (CTImageStorage,) if volumes else RADIOGRAPHS:
        entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)

    def store(event: evt.Event) -> int:
        try:
            header: Dataset = event.dataset
            series, instance = uid_in(header, "SeriesInstanceUID"), uid_in(header, "SOPInstanceUID")
        except Exception:  # whatever pydicom raises on a damaged dataset
            logger.warning("refused an image that has no UIDs or cannot be read")
            return NOT_ITS_CLASS
        try:
            keep(series, instance, event.encoded_dataset())
        except FullError:
            logger.warning("refused an image: too many wait")
            return OUT_OF_RESOURCES
        except DataError as error:
            logger.error("refused an image: %s", error)
            return OUT_OF_RESOURCES
        return SUCCESS

    try:
        return entity.start_server((host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    except OSError as error:
        raise DataError(f"{host}:{port}: cannot listen there ({error.strerror}). Give another --port.") from error


def _said(status: int | None) -> str:
    return "no answer" if status is None else f"status 0x{status:04X}"
