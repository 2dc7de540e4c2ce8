"""What made a mask, as DICOM objects name it. Needs no DICOM library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Algorithm:
    """What made a mask.

    Attributes:
        name: at most 64 characters.
        version: at most 64 characters.
        weights: a hash of the file of its weights: two trainings are two devices.
        type: of PS3.3 C.8.20.4: ``"AUTOMATIC"``, or ``"SEMIAUTOMATIC"`` where a person took part.
    """

    name: str
    version: str
    weights: str
    type: str = "AUTOMATIC"
