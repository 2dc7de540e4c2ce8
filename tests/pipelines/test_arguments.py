"""Numbers of the command line: what can be is taken as it is, and the message says what else would do."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from pipelines.arguments import fraction, port, positive, seed


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        (positive, "1", 1),
        (positive, "26684", 26684),
        (seed, "0", 0),
        (seed, "4294967296", 2**32),
        (port, "1", 1),
        (port, "65535", 65535),
        (fraction, "0", 0.0),
        (fraction, "0.95", 0.95),
        (fraction, "1", 1.0),
        (fraction, "5e-1", 0.5),
    ],
)
def test_numbers_that_can_be_are_taken(of, text, value):
    assert of(text) == value and type(of(text)) is type(value)


@pytest.mark.parametrize(
    ("of", "text", "message"),
    [
        (positive, "0", "'0' is not a whole number above 0"),
        (positive, "2.0", "'2.0' is not a whole number above 0"),
        (seed, "-1", "'-1' is not a whole number from 0 on"),
        (port, "0", "'0' is not a port, a whole number from 1 to 65535"),
        (port, "65536", "'65536' is not a port"),
        (fraction, "nan", "'nan' is not a number from 0 to 1"),
        (fraction, "95", "'95' is not a number from 0 to 1"),
    ],
)
def test_others_are_refused(of, text, message):
    with pytest.raises(ArgumentTypeError, match=message):
        of(text)
