"""Decoding DICOM of every transfer syntax, and what is said where it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.pixels import get_decoder

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import DataError, RadiographReader
from transforms.files.dicom import decode, first_bytes, naming

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
def no_decoders():
    """JPEG 2000 as where nothing that decodes it is installed."""
    decoder = get_decoder(uid.JPEG2000Lossless)
    there = [name for name in ("gdcm", "pylibjpeg", "pillow") if name in decoder.available_plugins]  # in their order
    for name in decoder.available_plugins:
        decoder.remove_plugin(name)
    yield
    decoder.add_plugins([(name, (f"pydicom.pixels.decoders.{name}", "_decode_frame")) for name in there])


def test_missing_decoder_is_named_with_the_command_that_installs_it(write_dicom, no_decoders):
    codecs = pytest.importorskip("imagecodecs")
    encoded = codecs.jpeg2k_encode(RAMP, codecformat="j2k", reversible=True)
    path = write_dicom(RAMP, bits=12, syntax=uid.JPEG2000Lossless, encoded=encoded)
    with pytest.raises(
        DataError, match=r"image.dcm: no decoder is installed for .* JPEG 2000 .*Lossless Only"
    ) as error:
        read(path)
    assert "pip install python-gdcm pylibjpeg pylibjpeg-openjpeg" in str(error.value)


def test_damaged_pixels_are_named_with_their_syntax(write_dicom):
    path = write_dicom(RAMP, syntax=uid.JPEG2000Lossless, encoded=b"\xff\x4f\xff\x51 nonsense")
    with pytest.raises(
        DataError, match=r"image.dcm: its pixel data \(JPEG 2000 .* cannot be decoded: .* may be damaged"
    ):
        decode(pydicom.dcmread(path), path)


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
