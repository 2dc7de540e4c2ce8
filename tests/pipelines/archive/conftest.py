"""A real archive, Orthanc, and phantoms in it."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.conftest import write_radiograph
from tests.pipelines.label.serving import Server, free_port

ORTHANC = shutil.which("Orthanc", path=os.environ["PATH"] + ":/usr/sbin")
PLUGIN = next(Path("/usr/share/orthanc").glob("plugins/libOrthancDicomWeb.so*"), None)
USER, PASSWORD = "reader", "s3cret-passw0rd"


class Orthanc(Server):
    """An archive; `url` is that of its REST interface, `web` that of DICOMweb, `port` that of DICOM."""

    def __init__(self, folder, login=False, **settings):
        web, self.port, self.title = free_port(), free_port(), "ORTHANC"
        settings = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": web,
            "DicomPort": self.port,
            "DicomAet": self.title,
            "DicomAlwaysAllowStore": True,
            "AuthenticationEnabled": login,
            "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **settings,
        }
        self.login = (USER, PASSWORD) if login else None
        (folder / "orthanc.json").write_text(json.dumps(settings))
        super().__init__([ORTHANC, str(folder / "orthanc.json")], f"http://127.0.0.1:{web}", folder, "/system")
        self.web = f"{self.url}/dicom-web"

    def __call__(self, method, path, **arguments):
        return super().__call__(method, path, auth=self.login, **arguments)

    def put(self, *files):
        for file in files:
            self.good("POST", "/instances", data=Path(file).read_bytes())

    def datasets(self, modality=None):
        names = self.good("GET", "/instances").json()
        found = [pydicom.dcmread(io.BytesIO(self.good("GET", f"/instances/{n}/file").content)) for n in names]
        return [dataset for dataset in found if modality in (None, dataset.Modality)]


@pytest.fixture
def orthanc(tmp_path_factory):
    """Starts empty archives."""
    if ORTHANC is None or PLUGIN is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed: apt install orthanc orthanc-dicomweb")
    running = []

    def start(**settings):
        running.append(Orthanc(tmp_path_factory.mktemp("orthanc"), **settings))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def radiographs(tmp_path):
    """Three small radiographs, each a study of its own, of values that leave something to mark."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    files = []
    for number in range(3):
        lungs = np.exp(-((x - 25) ** 2 + (y - 30) ** 2) / 150) + np.exp(-((x - 55) ** 2 + (y - 30) ** 2) / 150)
        pixels = (220 - 150 * lungs + rng.normal(0, 3 + number, lungs.shape)).clip(0, 255).astype(np.uint8)
        uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
        tags = {"PatientID": f"P{number}", "StudyDate": "20260101", **uids}
        files.append(write_radiograph(tmp_path / "images", pixels, f"r{number}.dcm", **tags))
    return files
