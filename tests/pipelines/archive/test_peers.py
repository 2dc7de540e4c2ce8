"""Who sends and who gets answers: between pynetdicom's own entities. DCMTK and Orthanc are in test_listen."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, SecondaryCaptureImageStorage, SegmentationStorage

from pipelines.archive.peers import Peer, PeerError, check_title, serve
from pipelines.archive.spool import FullError
from tests.pipelines.label.serving import free_port
from transforms import DataError

pynetdicom = pytest.importorskip("pynetdicom")


@pytest.fixture
def kept():
    return []


@pytest.fixture
def start(kept):
    """Starts to take radiographs; gives the port."""
    running = []

    def of(keep=lambda *image: None, **settings):
        port = free_port()
        settings = {"title": "US", "host": "127.0.0.1", "allowed": (), "volumes": False} | settings

        def keep_both(*image):
            keep(*image)
            kept.append(image)

        running.append(serve(port=port, keep=keep_both, **settings))
        return port

    yield of
    for server in running:
        server.shutdown()


def status_of(port, file, kind=SecondaryCaptureImageStorage, called="US", calling="THEM"):
    entity = pynetdicom.AE(ae_title=calling)
    entity.add_requested_context(kind)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return None
    try:
        return association.send_c_store(file).Status
    finally:
        association.release()


def test_an_image_is_kept_as_a_file_and_then_acknowledged(start, kept, radiographs, tmp_path):
    original = pydicom.dcmread(radiographs[0])
    assert status_of(start(), radiographs[0]) == 0x0000
    ((series, instance, content),) = kept
    assert (series, instance) == (original.SeriesInstanceUID, original.SOPInstanceUID)
    (tmp_path / "copy.dcm").write_bytes(content)
    copy = pydicom.dcmread(tmp_path / "copy.dcm")
    assert np.array_equal(copy.pixel_array, original.pixel_array) and copy.PatientID == original.PatientID


def test_what_cannot_be_kept_is_not_acknowledged(start, kept, radiographs, write_dicom):
    def full(*image):
        raise FullError

    def broken(*image):
        raise DataError("the disk is full")

    assert status_of(start(full), radiographs[0]) == status_of(start(broken), radiographs[0]) == 0xA700
    nameless = write_dicom(np.zeros((4, 6), np.uint8))  # of no series
    assert status_of(start(), nameless) == 0xA900 and kept == []


def test_strangers_and_what_is_no_image_are_kept_out(start, kept, radiographs):
    port = start(allowed=["THEM"])
    assert status_of(port, radiographs[0], calling="STRANGER") is None
    assert status_of(port, radiographs[0], called="OTHER") is None
    assert status_of(port, radiographs[0], kind=SegmentationStorage) is None
    assert status_of(port, radiographs[0], kind=CTImageStorage) is None and kept == []
    with pytest.raises(DataError, match="cannot listen there"):
        serve("US", "127.0.0.1", port, [], False, print)


@pytest.fixture
def peer():
    """Starts an entity that answers with a status; gives it and what it took."""
    running = []

    def of(status, kind=SegmentationStorage):
        taken, entity = [], pynetdicom.AE(ae_title="PACS")
        entity.add_supported_context(kind, ImplicitVRLittleEndian)

        def store(event):
            taken.append(event.request.AffectedSOPInstanceUID)
            return status

        port = free_port()
        handlers = [(pynetdicom.evt.EVT_C_STORE, store)]
        running.append(entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers))
        return Peer.of(f"PACS@127.0.0.1:{port}"), taken

    yield of
    for server in running:
        server.shutdown()


@pytest.fixture
def answer(write_dicom):
    path = write_dicom(np.zeros((4, 6), np.uint8), syntax=ImplicitVRLittleEndian)
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID, dataset.SOPInstanceUID = SegmentationStorage, "1.2.3"
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        SegmentationStorage,
        "1.2.3",
    )
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("status", [0x0000, 0xB000])
def test_what_is_taken_is_said_once(peer, answer, status):
    there, taken = peer(status)
    sent = []
    there.send([answer], "US", sent.append)
    assert sent == [answer] and taken == ["1.2.3"]


@pytest.mark.parametrize(("status", "again"), [(0xA700, True), (0xA900, False), (0xC000, False)])
def test_what_is_refused_is_tried_again_where_that_helps(peer, answer, status, again):
    there, _ = peer(status)
    sent = []
    with pytest.raises(PeerError, match=f"0x{status:04X}") as refused:
        there.send([answer], "US", sent.append)
    assert refused.value.again == again and sent == []


def test_a_peer_that_is_not_there_is_tried_again(answer):
    with pytest.raises(PeerError, match="cannot be reached") as refused:
        Peer.of(f"PACS@127.0.0.1:{free_port()}").send([answer], "US", print)
    assert refused.value.again


def test_peers_and_titles():
    assert Peer.of("MY PACS@[::1]:104") == ("MY PACS", "::1", 104)
    for text in ("PACS", "PACS@host", "PACS@host:x", "PACS@:104", "PACS@host:70000"):
        with pytest.raises(DataError, match="is no peer"):
            Peer.of(text)
    for title in ("", " PACS", "A" * 17, "a\\b", "a\nb"):
        with pytest.raises(DataError, match="no title"):
            check_title(title)
