"""Which heights and widths a network can take."""

from __future__ import annotations


class SizeError(ValueError):
    """Images have a size that a network cannot take. The message names the nearest that it can."""

    plain = True  # the message says it all: shown without a traceback


def check_size(height: int, width: int, step: int, offset: int = 0, smallest: int = 1) -> None:
    """Refuse images whose halvings in a network would not come out even.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        step: valid heights and widths are multiples of it,
        offset: less this,
        smallest: and at least this.

    Raises:
        SizeError: with the nearest valid height and width.
    """
    if min(height, width) < smallest or (height + offset) % step or (width + offset) % step:
        rule = f"a multiple of {step}" + (f" less {offset}" if offset else "")
        least = _multiple(smallest, step, offset, up=True)
        raise SizeError(
            f"the images are {height} x {width} pixels; this network takes heights and widths of at least {least} that "
            f"are {rule}. The nearest: height {_nearest(height, step, offset, least)}, width "
            f"{_nearest(width, step, offset, least)}. Resize or pad the images: --image_size for a bundle."
        )


def _multiple(size: int, step: int, offset: int, up: bool) -> int:
    """The next size from ``size`` on, or the last up to it, that is a multiple of ``step`` less ``offset``."""
    return -((-(size + offset) // step) * step if up else -((size + offset) // step) * step) - offset


def _nearest(size: int, step: int, offset: int, least: int) -> str:
    below, above = _multiple(size, step, offset, up=False), max(least, _multiple(size, step, offset, up=True))
    return f"{below} or {above}" if least <= below < above else f"{above}"
