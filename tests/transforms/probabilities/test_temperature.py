"""Temperature scaling, by hand: the odds of a probability become their root of the temperature's order."""

from __future__ import annotations

import numpy as np
import pytest

from transforms import DataError, before_temperature, with_temperature


def test_by_hand():
    """Odds of 4 to 1 become 2 to 1 at temperature 2, and 16 to 1 at 0.5."""
    found = with_temperature(np.array([0.8, 0.2, 0.5, 0.0, 1.0], np.float32), 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0.5, 0, 1], atol=1e-7)
    assert with_temperature(np.array([0.8]), 0.5)[0] == pytest.approx(16 / 17)
    assert with_temperature(np.array([0.123]), 1)[0] == np.float32(0.123)


def test_a_threshold_does_before_what_it_does_after():
    assert before_temperature(2 / 3, 2) == pytest.approx(0.8)
    assert before_temperature(0.5, 3.7) == 0.5 and before_temperature(0.3, 1) == 0.3
    probability = np.linspace(0.01, 0.99, 99)
    called = with_temperature(probability, 1.7) >= 0.703
    assert np.array_equal(called, probability >= before_temperature(0.703, 1.7)) and called.any()


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_a_temperature_is_a_number_above_0(temperature):
    with pytest.raises(DataError, match="give a number above 0"):
        with_temperature(np.ones(1), temperature)
    with pytest.raises(DataError, match="give a number above 0"):
        before_temperature(0.5, temperature)
