"""Decoding DICOM of every transfer syntax, and what is said where it fails."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import DataError, RadiographReader
from transforms.files.dicom import check_representation, decode, first_bytes, naming, open_dicom
from transforms.files.worker import close_workers

RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)  # 20 rows, 30 columns, 0 to 3594


def read(path):
    """Values of shape (rows, columns), 0 to 1."""
    return RadiographReader().get_data(path)[0].T


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian], ids=str
)
def test_uncompressed_syntaxes(write_dicom, syntax):
    if syntax == uid.ExplicitVRBigEndian:
        path = write_dicom(RAMP, bits=12, syntax=syntax)
    else:
        path = write_dicom(RAMP, bits=12)
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.is_implicit_VR = syntax.is_implicit_VR
        dataset.save_as(path, **IN_FILE_FORMAT)
    np.testing.assert_allclose(read(path), RAMP / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("syntax", "encoder", "tolerance"),
    [
        (uid.JPEGLosslessSV1, lambda c, a: c.ljpeg_encode(a, bitspersample=12), 0),
        (uid.JPEGLSLossless, lambda c, a: c.jpegls_encode(a), 0),
        (
            uid.JPEG2000Lossless,
            lambda c, a: c.jpeg2k_encode(a, codecformat="j2k", reversible=True, bitspersample=12),
            0,
        ),
        (uid.JPEG2000, lambda c, a: c.jpeg2k_encode(a, codecformat="j2k", level=80, bitspersample=12), 0.01),
        (uid.RLELossless, None, 0),
        (uid.JPEGBaseline8Bit, lambda c, a: c.jpeg8_encode((a >> 4).astype(np.uint8), level=98), 0.02),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_compressed_syntaxes(write_dicom, syntax, encoder, tolerance):
    codecs = pytest.importorskip("imagecodecs")
    pixels, bits = (RAMP >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else RAMP, 12
    if syntax == uid.RLELossless:
        path = write_dicom(pixels, bits=bits)
        dataset = pydicom.dcmread(path)
        dataset.compress(uid.RLELossless)
        dataset.save_as(path, **IN_FILE_FORMAT)
    else:
        bits = 8 if pixels.dtype == np.uint8 else 12
        path = write_dicom(pixels, bits=bits, syntax=syntax, encoded=encoder(codecs, RAMP))
    np.testing.assert_allclose(read(path), pixels / (2**bits - 1), atol=tolerance + 1e-6)


@pytest.fixture
def no_decoder(tmp_path, monkeypatch):
    """As where what decodes JPEG 2000 is not installed: its import fails."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "pylibjpeg.py").write_text("raise ModuleNotFoundError")
    monkeypatch.syspath_prepend(str(tmp_path / "without"))
    close_workers()
    yield
    monkeypatch.undo()
    close_workers()


def test_missing_decoder_is_named_with_the_command_that_installs_it(write_dicom, no_decoder):
    codecs = pytest.importorskip("imagecodecs")
    encoded = codecs.jpeg2k_encode(RAMP, codecformat="j2k", reversible=True)
    path = write_dicom(RAMP, bits=12, syntax=uid.JPEG2000Lossless, encoded=encoded)
    with pytest.raises(
        DataError, match=r"image.dcm: no decoder is installed for .* JPEG 2000 .*Lossless Only"
    ) as error:
        read(path)
    assert "pip install python-gdcm pyjpegls pylibjpeg pylibjpeg-openjpeg" in str(error.value)


def test_damaged_pixels_are_named_with_their_syntax(write_dicom):
    codecs = pytest.importorskip("imagecodecs")
    encoded = codecs.jpeg2k_encode(RAMP, codecformat="j2k", reversible=True)
    path = write_dicom(RAMP, bits=16, syntax=uid.JPEG2000Lossless, encoded=encoded[:60] + bytes(100))
    with pytest.raises(
        DataError, match=r"image.dcm: its pixel data \(JPEG 2000 .* cannot be decoded: .* may be damaged"
    ):
        decode(open_dicom(path), path)


def test_fragments_of_a_frame_are_joined_and_damaged_ones_told(write_dicom):
    codecs = pytest.importorskip("imagecodecs")
    encoded = codecs.jpeg2k_encode(RAMP, codecformat="j2k", reversible=True, bitspersample=12)
    path = write_dicom(RAMP, bits=12, syntax=uid.JPEG2000Lossless, encoded=encoded)
    whole = pydicom.dcmread(path)
    whole.PixelData = encapsulate([encoded], fragments_per_frame=5)
    whole["PixelData"].is_undefined_length = True
    whole.save_as(path, **IN_FILE_FORMAT)
    np.testing.assert_allclose(read(path), RAMP / 4095, atol=1e-6)
    data = whole.PixelData
    first = 8 + int.from_bytes(data[4:8], "little")  # the offset table is an item too
    for damaged, message in (
        (data[:first], "have no fragment"),
        (data[: first + 4] + b"\xff\xff\xff\x7f" + data[first + 8 :], "do not fit together"),
        (b"\0" * 8 + data[8:], "do not fit together"),
    ):
        whole.PixelData = damaged
        with pytest.raises(DataError, match=f"image.dcm: .* {message}"):
            decode(whole, path)


def test_several_frames_or_samples_are_refused_before_they_are_decoded(write_dicom):
    for tags in ({"NumberOfFrames": 10**6}, {"SamplesPerPixel": 3}):
        path = write_dicom(RAMP, bits=12, **tags)
        with pytest.raises(DataError, match="image.dcm: has .* frames of .* samples a pixel. Save one frame in grey"):
            decode(open_dicom(path), path)


def test_what_counts_is_a_whole_number(write_dicom):
    path = write_dicom(RAMP, bits=12, NumberOfFrames=1)
    dataset = pydicom.dcmread(path)
    tag = dataset["NumberOfFrames"].tag
    dataset[tag] = RawDataElement(tag, "IS", 4, b"1.5 ", 0, False, True)
    dataset.save_as(path)
    with pytest.raises(
        DataError, match="image.dcm: its header cannot be used .*NumberOfFrames is .*, not a whole number"
    ):
        decode(open_dicom(path), path)


def test_a_text_is_not_read_as_a_number(write_dicom):
    """Where WindowWidth is said to be of unsigned shorts, its text "1,15" would be 11313 and 13617."""
    path = write_dicom(RAMP, bits=12, WindowCenter=500, WindowWidth=115)
    RadiographReader().get_data(path)
    dataset = pydicom.dcmread(path)
    for keyword in ("WindowWidth", "PixelSpacing"):
        tag = dataset[keyword].tag
        dataset[tag] = RawDataElement(tag, "US", 4, b"1,15", 0, False, True)
        with pytest.raises(ValueError, match=f"{keyword} has the value representation US, not DS"):
            check_representation(dataset, keyword)
        dataset.save_as(path)
        with pytest.raises(DataError, match="image.dcm: its header cannot be used .* representation US, not DS"):
            RadiographReader().get_data(path)


def deflate(path, content=None):
    """Turn a file into a deflated one, whose content may be another."""
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path, **IN_FILE_FORMAT)
    if content is not None:
        end = 132 + 12 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
        path.write_bytes(path.read_bytes()[:end] + content)
    return path


def test_deflated_files_are_read_like_others_or_refused_unread(write_dicom):
    path = write_dicom(RAMP, bits=12)
    expected = open_dicom(path)
    dataset = open_dicom(deflate(path))
    assert dataset.PixelData == expected.PixelData and dataset.SOPInstanceUID == expected.SOPInstanceUID
    with pytest.raises(DataError, match=r"image.dcm: is deflated .*, which is not read while files are listed"):
        open_dicom(path, inflate=False)


def test_a_deflated_bomb_costs_no_memory(write_dicom):
    """2 MB that would inflate to 2 GB."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    part = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    path = deflate(write_dicom(RAMP), content=2000 * part + packer.flush())
    with pytest.raises(DataError, match=r"image.dcm: is \d+ bytes that inflate to more than 268435456"):
        RadiographReader().get_data(path)


@pytest.mark.parametrize("deflated", [True, False])
def test_countless_elements_are_not_read(write_dicom, deflated):
    """Some kilobytes that inflate to 4 megabytes of zeros, or those megabytes: hundreds of thousands of elements."""
    path, zeros = write_dicom(RAMP), bytes(2**22)
    if deflated:
        end = 132 + 12 + pydicom.dcmread(deflate(path)).file_meta.FileMetaInformationGroupLength
        packer, body = (
            zlib.compressobj(wbits=-zlib.MAX_WBITS),
            zlib.decompress(path.read_bytes()[end:], -zlib.MAX_WBITS),
        )
        deflate(path, content=packer.compress(body + zeros) + packer.flush())
    else:
        path.write_bytes(path.read_bytes() + zeros)
    with pytest.raises(DataError, match="image.dcm: has more than 50000 elements"):
        RadiographReader().get_data(path)


@pytest.mark.skipif(not hasattr(pydicom.Dataset, "pixel_array_options"), reason="pydicom 2 reads what is looked at")
def test_long_values_are_read_when_they_are_asked_for(write_dicom):
    path = write_dicom(np.zeros((100, 100), np.uint8))
    dataset = open_dicom(path)
    assert dataset.get_item("PixelData", keep_deferred=True).value is None and dataset.PixelData == bytes(10_000)


def test_whatever_fails_on_a_header_is_told_with_the_file_s_name():
    with (
        pytest.raises(DataError, match=r"^x.dcm: its header cannot be used \(OverflowError: a tag\). Correct") as error,
        naming(Path("x.dcm")),
    ):
        raise OverflowError("a tag")
    assert isinstance(error.value.__cause__, OverflowError)
    with pytest.raises(DataError, match="^y.dcm: says enough$"), naming(Path("x.dcm")):
        raise DataError("y.dcm: says enough")
    with pytest.raises(KeyboardInterrupt), naming(Path("x.dcm")):
        raise KeyboardInterrupt


def test_how_a_file_begins_is_shown(tmp_path):
    path = tmp_path / "page.dcm"
    path.write_text("<!DOCTYPE html><html>")
    assert first_bytes(path) == "it begins with b'<!DOCTYPE html><'"
    path.write_bytes(b"")
    assert first_bytes(path) == "it is empty"
