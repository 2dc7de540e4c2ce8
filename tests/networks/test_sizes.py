"""Which sizes a network takes, worked by hand."""

from __future__ import annotations

import pytest

from networks import SizeError, check_size


@pytest.mark.parametrize(
    ("size", "rule"),
    [
        ((64, 96), {"step": 32}),
        ((188, 572), {"step": 16, "offset": 4, "smallest": 185}),  # 12 * 16 - 4 and 36 * 16 - 4
        ((1, 7), {"step": 1}),
    ],
)
def test_sizes_that_halve_evenly_pass(size, rule):
    check_size(*size, **rule)


@pytest.mark.parametrize(
    ("size", "rule", "message"),
    [
        ((100, 64), {"step": 32}, "at least 32 that are a multiple of 32. The nearest: height 96 or 128, width 64."),
        ((31, 33), {"step": 32}, "The nearest: height 32, width 32 or 64."),
        ((64, 16), {"step": 16, "smallest": 20}, "at least 32 .* The nearest: height 64, width 32."),
        (
            (180, 572),
            {"step": 16, "offset": 4, "smallest": 185},
            "at least 188 that are a multiple of 16 less 4. The nearest: height 188, width 572.",
        ),
        ((200, 190), {"step": 16, "offset": 4, "smallest": 185}, "height 188 or 204, width 188 or 204."),
    ],
)
def test_others_are_refused_with_the_nearest_that_do(size, rule, message):
    with pytest.raises(SizeError, match=f"^the images are {size[0]} x {size[1]} pixels; .*{message}") as error:
        check_size(*size, **rule)
    assert "--image_size" in str(error.value) and isinstance(error.value, ValueError)
