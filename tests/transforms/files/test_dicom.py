"""Decoding DICOM of every transfer syntax, and what is said where it fails."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom import uid

from pipelines.phantoms.cohort import IN_FILE_FORMAT
from transforms import RadiographReader

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


def test_missing_decoder_is_named_with_the_command_that_installs_it(write_dicom):
    codecs = pytest.importorskip("imagecodecs")
    path = write_dicom(
        RAMP, bits=12, syntax=uid.JPEG2000Lossless, encoded=codecs.jpeg2k_encode(RAMP, codecformat="j2k")
    )
    program = (
        "import sys\n"
        "decoders = ('gdcm', 'openjpeg', 'pylibjpeg', 'PIL')\n"
        "sys.modules.update(dict.fromkeys(decoders))\n"  # an import of them fails, as if they were not installed
        "import pydicom\n"
        "del sys.modules['PIL']\n"  # needed for other things
        "from pathlib import Path\n"
        "from transforms import RadiographReader\n"
        f"RadiographReader().get_data(Path({str(path)!r}))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "DataError" in result.stderr and "image.dcm: no decoder is installed" in result.stderr
    assert "pip install python-gdcm pylibjpeg pylibjpeg-openjpeg" in result.stderr
