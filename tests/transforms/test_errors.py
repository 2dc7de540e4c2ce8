"""What a user is shown of errors and warnings."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from transforms import DataError, plain_error, prepare_console


def raised(*errors):
    """The last of several errors, each raised from the one before."""
    for cause, error in zip((None, *errors), errors, strict=False):
        error.__cause__ = cause
    return errors[-1]


def test_the_error_for_the_user_is_found_below_those_that_wrap_it():
    meant = DataError("a.dcm: no such file.")
    assert plain_error(meant) is meant and isinstance(meant, ValueError)
    assert plain_error(raised(OSError(), meant, RuntimeError("applying transform"), RuntimeError("worker"))) is meant
    assert plain_error(raised(ValueError("a bug"), RuntimeError())) is None and plain_error(None) is None


@pytest.fixture
def console(monkeypatch):
    """A program that has prepared its console; the hooks are put back afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        prepare_console()
        yield shown


def test_a_program_ends_with_one_message_for_its_user(console, capsys):
    error = raised(DataError("a.dcm: no such file."), RuntimeError("applying transform"))
    sys.excepthook(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == "error: a.dcm: no such file.\n"


def test_a_bug_is_shown_with_its_traceback(console, capsys):
    with pytest.raises(KeyError) as caught:
        {}["missing"]
    sys.excepthook(caught.type, caught.value, caught.tb)
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and "test_errors.py" in shown and "KeyError: 'missing'" in shown


def test_the_notices_of_an_optional_decoder_are_left_out_and_no_other(console, caplog):
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").warning("nvImageCodec is not available")
    logging.getLogger("monai.data.image_reader").warning("something else")
    assert [record.getMessage() for record in caplog.records] == ["something else"]
    warnings.warn("NvImgCodecPydicomReader: not registered", stacklevel=1)
    warnings.warn("something else", stacklevel=1)
    assert [str(warning.message) for warning in console] == ["something else"]
