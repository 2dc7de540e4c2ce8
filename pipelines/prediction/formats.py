"""The formats that masks are written in: what each needs, and the transform that writes it.

The one place that names the writers. What they need is imported where they are made: the command line lists formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..dicom.algorithm import Algorithm

if TYPE_CHECKING:
    from ..bundle import Bundle

Configuration = dict[str, Any]  # of a transform, as in a bundle's JSON


@dataclass(frozen=True)
class Format:
    """A format of masks.

    Attributes:
        suffix: of its files.
        postfix: of their names, after the image's.
        needs_dicom: whether the image must be DICOM, since the mask refers to it.
        planes, volumes: whether it holds masks of radiographs, and of CT.
        writer: gives the rest of the configuration of the transform that writes it.
    """

    suffix: str
    writer: Callable[[Bundle, Algorithm], Configuration]
    postfix: str = "mask"
    needs_dicom: bool = False
    planes: bool = True
    volumes: bool = True


def _mask(bundle: Bundle, algorithm: Algorithm) -> Configuration:
    return {"_target_": "transforms.SaveMaskd"}


def _segmentation(bundle: Bundle, algorithm: Algorithm) -> Configuration:
    return _dicom("segmentation", "SaveSegmentationd", algorithm) | {"segments": bundle.segments}


def _strict_segmentation(bundle: Bundle, algorithm: Algorithm) -> Configuration:
    return _segmentation(bundle, algorithm) | {"strict": True}


def _structures(bundle: Bundle, algorithm: Algorithm) -> Configuration:
    return _dicom("rtstruct", "SaveRTStructd", algorithm) | {"segments": bundle.segments}


def _report(bundle: Bundle, algorithm: Algorithm) -> Configuration:
    return _dicom("report", "SaveReportd", algorithm) | {"finding": bundle.segments[0]}


def _dicom(module: str, writer: str, algorithm: Algorithm) -> Configuration:
    import_module(f"pipelines.dicom.{module}")  # where highdicom is missing, that is said here, at once
    named = {"_target_": "pipelines.dicom.algorithm.Algorithm", **asdict(algorithm)}
    return {"_target_": f"pipelines.dicom.{module}.{writer}", "algorithm": named}


FORMATS = {
    "png": Format(".png", _mask, volumes=False),
    "nifti": Format(".nii.gz", _mask),
    "seg": Format(".dcm", _segmentation, postfix="seg", needs_dicom=True),
    "seg-strict": Format(".dcm", _strict_segmentation, postfix="seg", needs_dicom=True, volumes=False),
    "rtstruct": Format(".dcm", _structures, postfix="rtstruct", needs_dicom=True, planes=False),
}
REPORT = Format(".dcm", _report, postfix="report", needs_dicom=True, volumes=False)


def choose_format(bundle: Bundle, name: str | None, fractional: bool = False) -> str:
    """The format that a bundle's masks are written in: the one asked for, or its own.

    Raises:
        DataError: if the bundle's masks cannot be written so.
    """
    from transforms import DataError

    chosen = name or ("nifti" if bundle.is_volumetric else "png")
    found = FORMATS[chosen]
    if fractional and found.postfix != "seg":
        raise DataError("--fractional is for DICOM Segmentations: add --format seg.")
    if fractional and not bundle.gives_probabilities:
        raise DataError(f"{bundle.name}: gives labels, not probabilities: leave out --fractional.")
    if not (found.volumes if bundle.is_volumetric else found.planes):
        kind, able = ("volumes", "volumes") if bundle.is_volumetric else ("those of radiographs", "planes")
        others = " or ".join(key for key, other in FORMATS.items() if getattr(other, able))
        raise DataError(
            f"{bundle.name}: its masks are {kind}, which {chosen.upper()} cannot hold. Give --format {others}."
        )
    return chosen


def writer_of(format: Format, bundle: Bundle, algorithm: Algorithm, keys: str, **settings: Any) -> Configuration:
    """The configuration of the transform that writes a format, its files named after the images.

    Args:
        format: of FORMATS, or REPORT.
        bundle: whose masks they are.
        algorithm: what made them.
        keys: what is written.
        settings: further arguments of the transform.

    Raises:
        DataError: if a package that it needs is missing.
    """
    layout = {"output_dir": "@output_dir", "input_dir": "@dataset_dir", "postfix": format.postfix}
    return {
        **format.writer(bundle, algorithm),
        "keys": keys,
        "layout": {"_target_": "transforms.OutputLayout", **layout, "suffix": format.suffix},
        **settings,
    }
