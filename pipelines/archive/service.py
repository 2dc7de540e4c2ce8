"""A DICOMweb service (PS3.18): finds series (QIDO-RS), fetches them (WADO-RS), takes results (STOW-RS)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import requests
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from transforms import DataError
from transforms.files.atomic import atomic_path
from transforms.files.dicom import open_dicom

from .address import split_login
from .uids import uid_in

try:
    from dicomweb_client.web import DICOMwebClient
except ImportError as error:
    raise DataError("DICOMweb needs the package dicomweb-client: run pip install 'radbundles[archive]'.") from error

logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # it logs the UIDs of everything that it handles

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each new try
TIMEOUT = (10, 120)  # seconds to connect, and to wait for the next bytes
TRANSIENT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, 500, 502, 503, 504)
NO_LOGIN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
AS_STORED = (("application/dicom", "*"),)  # in the transfer syntax that the archive has
Answer = TypeVar("Answer")


class ServiceError(DataError):
    """A service is not there or lets nobody in: what is asked of it next will fare no better."""


class Series(NamedTuple):
    """A series of an archive: the UIDs of its study and of itself."""

    study: str
    series: str

    @property
    def key(self) -> str:
        """What it goes by in names of files and records."""
        return f"{self.study}/{self.series}"


class Service:
    """A DICOMweb service, for several threads.

    Every request is tried again after ``WAITS``, where a new try can help.

    Args:
        url: the service's root. A login in it is used, and shown nowhere.
        variables: how the names of the environment's variables with the login begin.

    Raises:
        DataError: if the URL is none.
    """

    def __init__(self, url: str, variables: str):
        self.url, self.login = split_login(url, variables)
        self.variables = variables
        self.own = threading.local()

    def search(self, query: Mapping[str, str]) -> list[tuple[Series, str]]:
        """The series that match, with their modalities, sorted.

        Args:
            query: values by the keywords of attributes, as PS3.18 8.3.4 has them.

        Raises:
            DataError: if a keyword is none of DICOM, or the service cannot be asked.
        """
        unknown = [key for key in query if tag_for_keyword(key) is None]
        if unknown:
            raise DataError(f"--query {unknown[0]}: is no attribute of DICOM. Give one as StudyDate=20260101-20260131.")
        found = self._ask(lambda client: client.search_for_series(search_filters=dict(query), get_remaining=True))
        headers = [Dataset.from_json(one) for one in found]
        return sorted(
            (Series(uid_in(one, "StudyInstanceUID"), uid_in(one, "SeriesInstanceUID")), str(one.get("Modality", "")))
            for one in headers
        )

    def instances(self, series: Series) -> list[str]:
        """The UIDs of a series' instances, sorted.

        Raises:
            DataError: if the service cannot be asked.
        """
        found = self._ask(lambda client: client.search_for_instances(*series, get_remaining=True))
        return sorted(uid_in(Dataset.from_json(one), "SOPInstanceUID") for one in found)

    def fetch(self, series: Series, folder: Path) -> None:
        """Write a series' instances into a folder, each named by its UID.

        Raises:
            DataError: if the service does not give them.
        """

        def fetch(client: DICOMwebClient) -> int:
            count = 0
            for instance in client.iter_series(*series, media_types=AS_STORED):
                with atomic_path(folder / f"{uid_in(instance, 'SOPInstanceUID')}.dcm") as scratch:
                    instance.save_as(scratch)
                count += 1
            return count

        if not self._ask(fetch):
            raise DataError("the service lists the series and gives none of its instances.")

    def store(self, file: Path) -> None:
        """Give a DICOM file to the service, unless it has it.

        Raises:
            DataError: if the service refuses it.
        """
        dataset = open_dicom(file)
        study, uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        nothing: list[dict[str, dict[Any, Any]]] = []
        by_uid = {"SOPInstanceUID": uid}
        if self._ask(lambda client: client.search_for_instances(study, search_filters=by_uid), missing=nothing):
            return
        answer = self._ask(lambda client: client.store_instances([dataset], study))
        refused: Sequence[Dataset] = answer.get("FailedSOPSequence") or []
        if refused:
            raise DataError(f"the store refused {file.name}: failure reason {refused[0].get('FailureReason')}.")

    def _client(self) -> DICOMwebClient:
        if not hasattr(self.own, "client"):
            session = requests.Session()
            session.auth = self.login
            self.own.client = DICOMwebClient(self.url, session=session, timeout=TIMEOUT, permissive_uid=True)
            self.own.client.set_http_retry_params(retry=False)  # it repeats large bodies without their beginning
        return self.own.client

    def _ask(self, call: Callable[[DICOMwebClient], Answer], missing: Answer | None = None) -> Answer:
        """What a call gives; ``missing``, where it is given, if the service says 404.

        Errors come without what they came from: requests' own name the whole URL, with the patient's query.
        """
        for wait in (*WAITS, None):
            try:
                return call(self._client())
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                if status == HTTPStatus.NOT_FOUND and missing is not None:
                    return missing
                if status in TRANSIENT and wait is not None:
                    time.sleep(wait)
                    continue
                problem = self._refusal(status)
            except requests.exceptions.SSLError:
                problem = ServiceError(
                    f"{self.url}: its certificate is not trusted. Name the file of the authority in REQUESTS_CA_BUNDLE."
                )
            except requests.exceptions.JSONDecodeError:
                problem = ServiceError(f"{self.url}: answers, but not as DICOMweb does. Give the service's root.")
            except requests.RequestException as error:
                if wait is not None:
                    time.sleep(wait)
                    continue
                problem = ServiceError(
                    f"{self.url}: cannot be reached ({type(error).__name__}, {1 + len(WAITS)} tries). Start the "
                    "service or correct the URL, then give the same command again."
                )
            except InvalidDicomError:
                problem = DataError("the service gives what is not DICOM.")
            raise problem from None
        raise AssertionError("the last try neither answered nor failed")

    def _refusal(self, status: int) -> DataError:
        name = f"HTTP {status}"
        if status in NO_LOGIN:
            return ServiceError(
                f"{self.url}: does not let this program in ({name}). Set {self.variables}_TOKEN, or "
                f"{self.variables}_USER and {self.variables}_PASSWORD, or write the login to ~/.netrc."
            )
        if status == HTTPStatus.NOT_FOUND:
            return DataError(f"{self.url}: knows nothing of that ({name}). Give the root of a DICOMweb service.")
        return DataError(f"{self.url}: refused the request ({name}). Its log says why.")
