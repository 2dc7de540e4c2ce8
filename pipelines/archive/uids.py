"""UIDs that name files: what a network sends is no path until it was looked at."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from transforms import DataError

UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)  # some archives hold components with a leading zero
LONGEST = 64


def uid_in(dataset: Dataset, keyword: str) -> str:
    """A UID of a dataset: digits and points (PS3.5 9.1), which may be the name of a file.

    Raises:
        DataError: if it is none.
    """
    uid = str(dataset.get(keyword, ""))
    if len(uid) > LONGEST or not UID.fullmatch(uid):
        raise DataError(f"{keyword} is {uid[:LONGEST]!r}, which is no UID (PS3.5 9). Correct it where it comes from.")
    return uid
