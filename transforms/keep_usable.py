"""Keeps of the files or folders that were found those that a reader can use, and says why not the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import DataError
from .outputs import image_name

logger = logging.getLogger(__name__)


def keep_usable(
    candidates: Sequence[Path], why_not: Callable[[Path], str | None], nothing: str
) -> list[dict[str, str]]:
    """List as a MONAI datalist what can be used; what is left out goes into the log with the reason.

    Of images whose outputs would have one name, as a.dcm and a.jpg, the first is kept.

    Args:
        candidates: paths.
        why_not: says what speaks against a path, or None; it may raise DataError instead.
        nothing: the message if nothing is left.

    Returns:
        ``[{"image": path}, ...]``, in the order of the candidates.

    Raises:
        DataError: if nothing is left.
    """

    def ask(path: Path) -> str | None:
        try:
            return why_not(path)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")

    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(ask, candidates))
    first: dict[tuple[Path, str], Path] = {}  # of the images whose outputs would have one name
    for index, path in enumerate(candidates):
        if reasons[index] is None and (other := first.setdefault((path.parent, image_name(path)), path)) is not path:
            reasons[index] = f"its outputs would have the names of those of {other.name}"
    left_out = [f"  {path}: {reason}" for path, reason in zip(candidates, reasons) if reason]
    if left_out:
        logger.warning("left out %d of %d:\n%s", len(left_out), len(candidates), "\n".join(left_out))
    if len(left_out) == len(candidates):
        raise DataError(nothing)
    return [{"image": str(path)} for path, reason in zip(candidates, reasons) if reason is None]
