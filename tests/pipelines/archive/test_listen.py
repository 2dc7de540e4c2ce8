"""A real sender (DCMTK's storescu), the listener in a process of its own, and a real archive that gets the answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.conftest import ROOT
from tests.pipelines.label.serving import free_port
from transforms import DataError

pynetdicom = pytest.importorskip("pynetdicom")
STORESCU = Path("/usr/bin/storescu")  # DCMTK's; pynetdicom installs one of its own


@pytest.fixture
def listener(tmp_path):
    """Starts listeners on one spool, one after the other."""
    port, running = free_port(), []

    def start(archive, *more):
        command = [sys.executable, "-m", "pipelines", "listen", "lungs", "--port", str(port), "--settle", "1"]
        command += ["--spool", str(tmp_path / "spool"), "--store", f"{archive.title}@127.0.0.1:{archive.port}", *more]
        log = open(tmp_path / "listen.log", "a")  # noqa: SIM115
        before = (tmp_path / "listen.log").stat().st_size
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        running.append(process)
        wait(lambda: "listens as" in (tmp_path / "listen.log").read_text()[before:])
        return process

    start.port, start.spool, start.log = port, tmp_path / "spool", tmp_path / "listen.log"
    yield start
    for process in running:
        process.kill()
        process.wait()


def wait(what, seconds=120):
    for _ in range(seconds * 5):
        if what():
            return
        time.sleep(0.2)
    raise AssertionError("it did not happen")


def echoes(port, calling="ANY"):
    entity = pynetdicom.AE(ae_title=calling)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, ae_title="RADBUNDLES")
    if association.is_established:
        association.release()
    return association.is_released


def send(port, *files, title="STORESCU"):
    if not STORESCU.is_file():
        pytest.skip("storescu is not installed: apt install dcmtk")
    command = [STORESCU, "-aec", "RADBUNDLES", "-aet", title, "127.0.0.1", str(port), *files]
    return subprocess.run(command, capture_output=True, text=True).returncode


def answered(archive):
    """The images that segmentations in an archive refer to."""
    series = [d.ReferencedSeriesSequence[0] for d in archive.datasets("SEG")]
    return sorted(one.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID for one in series)


@pytest.mark.slow
def test_all_that_was_taken_is_answered_once_whenever_it_is_killed(orthanc, listener, radiographs):
    archive = orthanc()
    images = sorted(pydicom.dcmread(file).SOPInstanceUID for file in radiographs)
    process = listener(archive)
    assert send(listener.port, *radiographs) == 0
    process.kill()  # while they wait for their series to be complete
    process.wait()
    assert len(list(listener.spool.rglob("*.dcm"))) == 3 and answered(archive) == []
    process = listener(archive)
    wait(lambda: answered(archive))
    process.kill()  # while others are under way
    process.wait()
    process = listener(archive)
    wait(lambda: len(answered(archive)) == 3 and not list(listener.spool.rglob("*.dcm")))
    assert answered(archive) == images

    # sent again, they are answered by the same objects
    uids = {d.SOPInstanceUID for d in archive.datasets("SEG")}
    assert send(listener.port, *radiographs) == 0
    wait(lambda: listener.log.read_text().count("done in") >= 6 and not list(listener.spool.rglob("*.dcm")))
    assert {d.SOPInstanceUID for d in archive.datasets("SEG")} == uids
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    said = listener.log.read_text()
    assert not any(uid in said for uid in images) and "P0" not in said and "Traceback" not in said


@pytest.mark.slow
def test_answers_wait_for_their_peer_and_strangers_are_kept_out(orthanc, listener, radiographs, tmp_path):
    archive = orthanc()
    archive.stop()
    process = listener(archive, "--allow", "MODALITY", "--limit", "2")
    assert send(listener.port, radiographs[0]) != 0 and not echoes(listener.port)
    assert send(listener.port, *radiographs[:2], title="MODALITY") == 0
    assert send(listener.port, radiographs[2], title="MODALITY") != 0  # two wait
    wait(lambda: "answers wait, next try in" in listener.log.read_text())
    wait(lambda: len(list((listener.spool / "answers").rglob("*.dcm"))) == 2)
    assert send(listener.port, radiographs[2], title="MODALITY") == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    other = orthanc(DicomAet="OTHER")
    other.title = "OTHER"
    listener(other)
    wait(lambda: len(answered(other)) == 3)


def test_a_radiograph_from_the_side_is_put_aside(orthanc, listener, radiographs, write_dicom):
    archive = orthanc()
    listener(archive)
    side = write_dicom(
        np.arange(4800, dtype=np.uint8).reshape(60, 80) % 251, ViewPosition="LL", SeriesInstanceUID="1.2"
    )
    assert send(listener.port, side, radiographs[0]) == 0
    wait(lambda: len(answered(archive)) == 1 and "no image for lungs" in listener.log.read_text())
    assert "left out image-0001.dcm: it is from the side" in listener.log.read_text()
    (kept,) = (listener.spool / "failed").rglob("*.dcm")
    assert pydicom.dcmread(kept).ViewPosition == "LL"


def test_what_cannot_be_listened_to_is_refused(tmp_path):
    from pipelines.archive.listen import Listener
    from tests.running import bundle_of

    for settings, message in (
        ({"store": "PACS"}, "PACS: is no peer. Give one as TITLE@HOST:PORT"),
        ({"store": "PACS@here:0"}, "is no peer"),
        ({"store": "A_TITLE_THAT_IS_TOO_LONG@here:104"}, "is no title of an application entity"),
        ({"store": "PACS@here:104", "host": "0.0.0.0"}, "--host 0.0.0.0: others can send there. Say who may"),
        ({"store": "PACS@here:104", "format": "png"}, "--format png: answers are DICOM"),
    ):
        with pytest.raises(DataError, match=message):
            Listener(bundle_of("lungs"), tmp_path, **settings)
