"""What stored pixels mean on a screen: lookup tables of all depths, VOI functions, polarity, padding."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from transforms import DataError, RadiographReader

RAMP = (np.arange(20 * 30).reshape(20, 30) * 6).astype(np.uint16)  # 20 rows, 30 columns, 0 to 3594


def lut(entries, first, bits, kind="OW"):
    table = Dataset()
    table.LUTDescriptor = [len(entries) % 65536, first, bits]
    values = np.asarray(entries, "<u2")
    table.add_new("LUTData", kind, values.tobytes() if kind == "OW" else values.tolist())
    return table


def read(path):
    return RadiographReader("pixels").get_data(path)[0].T


@pytest.mark.parametrize("kind", ["OW", "US"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_voi_lut_of_more_entries_than_its_depth_has_values(write_dicom, bits, kind):
    """4096 entries of 8 bits, as computed radiography has them: pydicom's own index would wrap around at 256."""
    entries = np.arange(4096) * (2**bits - 1) // 4095
    path = write_dicom(RAMP, bits=12, VOILUTSequence=[lut(entries, 0, bits, kind)])
    np.testing.assert_allclose(read(path), RAMP / 4095, atol=1 / (2**bits - 1))


@pytest.mark.parametrize(("first", "entries"), [(0, 1000), (1000, 1000), (3000, 4096), (0, 65536)])
def test_values_beyond_a_voi_lut_get_its_ends(write_dicom, first, entries):
    table = np.linspace(0, 65535, entries).astype(int)
    shown = np.interp(RAMP, [first, first + entries - 1], [0, 1])
    path = write_dicom(RAMP, bits=12, VOILUTSequence=[lut(table, first, 16)])
    np.testing.assert_allclose(read(path), shown, atol=2 / 65535)


def test_modality_lut_of_signed_values_from_the_least_on(write_dicom):
    pixels = np.array([[-32768, -1, 0, 32767]], np.int16)
    path = write_dicom(pixels, ModalityLUTSequence=[lut(np.arange(65536), -32768, 16)])
    np.testing.assert_allclose(read(path), (pixels + 32768.0) / 65535, atol=1e-6)


@pytest.mark.parametrize("bits", [0, 1, 7, 17, 65535])
@pytest.mark.parametrize("tag", ["VOILUTSequence", "ModalityLUTSequence"])
def test_depth_that_a_lut_cannot_have(write_dicom, tag, bits):
    path = write_dicom(RAMP, bits=12, **{tag: [lut(np.arange(4096), 0, bits)]})
    with pytest.raises(DataError, match=r"image\.dcm"):
        read(path)


def test_unknown_voi_function(write_dicom):
    path = write_dicom(RAMP, bits=12, WindowCenter=1800, WindowWidth=900, VOILUTFunction="CUBIC")
    with pytest.raises(DataError, match=r"VOILUTFunction \(0028,1056\) is CUBIC, not one of LINEAR"):
        read(path)
    path = write_dicom(RAMP, bits=12, WindowCenter=1800, WindowWidth=901, VOILUTFunction="")
    np.testing.assert_allclose(read(path), np.clip((RAMP - 1799.5) / 900 + 0.5, 0, 1), atol=1e-6)
