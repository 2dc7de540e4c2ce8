"""Finds in a tree of mixed files the cases that a reader can take: each header is read once, whatever it is of.

A case is a radiograph or a CT. What is none is left out, with the reason. Knows no bundle and no network.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydicom
from monai.data import ImageReader
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from tqdm import tqdm

from transforms import CTReader, DataError, RadiographReader, image_name, is_nifti
from transforms.ct_series import TAGS as CT_TAGS
from transforms.ct_series import is_localizer
from transforms.dicom import first_bytes
from transforms.find_ct_series import no_hounsfield
from transforms.find_radiographs import other_modality
from transforms.picture_files import is_picture
from transforms.radiograph_reader import HEADER_TAGS

TAGS = sorted({*CT_TAGS, *HEADER_TAGS, "SOPInstanceUID"})
PICTURE = "is a PNG or JPEG picture"
Header = Dataset | str  # of a DICOM file, or what the file is instead


@dataclass(frozen=True)
class Case:
    """One radiograph or one CT.

    Attributes:
        image: as MONAI's LoadImaged takes it: a file, a folder that holds one series, or the files of a series that
            lies among others.
        files: its files; of a CT series in the order of the slices.
        identity: a hash of where its files are and of what tells whether they have changed.
        is_dicom: or a picture, or NIfTI.
    """

    image: str | list[str]
    files: tuple[Path, ...]
    identity: str
    is_dicom: bool

    @property
    def path(self) -> Path:
        """What its outputs are named after, as MONAI does: the file, the folder or the first of the files."""
        return Path(self.image if isinstance(self.image, str) else self.image[0])


@dataclass
class Index:
    """What a tree holds.

    Attributes:
        cases: sorted by path.
        left_out: each file that is part of no case, and why; sorted by path.
    """

    cases: list[Case]
    left_out: list[tuple[Path, str]]


def index_images(folder: os.PathLike | str, reader: ImageReader, without: os.PathLike | str | None = None) -> Index:
    """List what a reader can take at or below a folder. Headers are read in parallel; pixels are not looked at.

    Args:
        folder: the tree; names and extensions of its DICOM files do not matter, nor do the folders they are in.
        reader: a CTReader or a RadiographReader: which of the two decides what is looked for. A CTReader knows the
            series afterwards, so that decoding them reads no header again.
        without: a folder in the tree to pass over, as where the outputs go.

    Raises:
        DataError: if the folder is missing.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give the folder of the images with --input.")
    excluded = Path(without).resolve() if without else None
    paths = []
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if excluded is None or (Path(parent) / name).resolve() != excluded)
        paths += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    with ThreadPoolExecutor() as pool:
        headers = pool.map(_read_header, paths)
        progress = tqdm(headers, total=len(paths), desc="reading headers", unit="file", disable=None)
        files = dict(zip(paths, progress))
    index = Index([], [])
    if isinstance(reader, CTReader):
        _find_series(files, reader, root, index)
    else:
        _find_radiographs(files, reader, root, index)
    _drop_clashes(index)
    index.cases.sort(key=lambda case: case.path)
    index.left_out.sort()
    return index


def _read_header(path: Path) -> Header:
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    except InvalidDicomError:
        return PICTURE if is_picture(path) else f"not a DICOM file: {first_bytes(path)}"
    except Exception as error:  # a damaged file can fail in pydicom, struct or zlib
        return f"cannot be read as DICOM, it may be cut short ({error}). Copy it again"


def _find_radiographs(files: dict[Path, Header], reader: RadiographReader, root: Path, index: Index) -> None:
    seen: dict[str, Path] = {}
    for path, header in files.items():
        if isinstance(header, Dataset):
            why_not = (
                other_modality(header) or _copy_of(header, path, seen) or _refused(path, reader.check, path, header)
            )
        else:
            why_not = _refused(path, reader.open, path) if header is PICTURE or is_nifti(path) else header
        if why_not:
            index.left_out.append((path, why_not))
        else:
            index.cases.append(_case(str(path), [path], [header], root))


def _find_series(files: dict[Path, Header], reader: CTReader, root: Path, index: Index) -> None:
    series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    others: set[Path] = set()  # folders that hold more than one series
    seen: dict[str, Path] = {}
    for path, header in files.items():
        if isinstance(header, str):
            why_not: str | None = header
            if is_nifti(path):
                why_not = _refused(path, reader.open, path) or no_hounsfield(path)
                if why_not is None:
                    index.cases.append(_case(str(path), [path], [header], root))
        elif header.get("Modality") != "CT":
            why_not = f"its Modality (0008,0060) is {header.get('Modality') or 'missing'}, not CT"
        elif "Rows" not in header or is_localizer(header):
            why_not = "is a localizer" if "Rows" in header else "has no Rows (0028,0010): it is no image, or cut short"
        elif (why_not := _copy_of(header, path, seen)) is None:
            series[str(header.get("SeriesInstanceUID") or path.parent)].append((path, header))
        if why_not:
            index.left_out.append((path, why_not))
            if isinstance(header, Dataset) and "Rows" in header:
                others.add(path.parent)
    folders = {name: {path.parent for path, _ in slices} for name, slices in series.items()}
    for name, slices in series.items():
        place = Path(os.path.commonpath(folders[name]))
        shared = any(folders[name] & folders[other] for other in series if other != name)
        alone = len(folders[name]) == 1 and not shared and place not in others
        try:
            volume = reader.open_slices(place, slices)
        except DataError as error:
            reason = str(error).removeprefix(f"{place}: ")
            index.left_out += [(path, reason) for path, _ in slices]
            continue
        header_of = dict(slices)
        image = str(place) if alone else [str(path) for path in volume.files]
        reader.known[place if alone else volume.files] = volume
        index.cases.append(_case(image, volume.files, [header_of[path] for path in volume.files], root))


def _case(image: str | list[str], files: Sequence[Path], headers: Sequence[Header], root: Path) -> Case:
    identity = hashlib.sha256()
    for path, header in zip(files, headers):
        stat = path.stat()
        uid = header.get("SOPInstanceUID") if isinstance(header, Dataset) else ""
        identity.update(f"{path.relative_to(root)}\0{stat.st_size}\0{stat.st_mtime_ns}\0{uid}\0".encode())
    return Case(image, tuple(files), identity.hexdigest(), isinstance(headers[0], Dataset))


def _refused(path: Path, check: Callable[..., object], *arguments: object) -> str | None:
    try:
        check(*arguments)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _copy_of(header: Dataset, path: Path, seen: dict[str, Path]) -> str | None:
    uid = str(header.get("SOPInstanceUID") or path)
    first = seen.setdefault(uid, path)
    return None if first == path else f"is a copy of {first}: both have the same SOPInstanceUID (0008,0018)"


def _drop_clashes(index: Index) -> None:
    """Two cases whose outputs would have one name: the second is left out."""
    first: dict[Path, Case] = {}
    for case in list(index.cases):
        known = first.setdefault(case.path.parent / image_name(case.path), case)
        if known is not case:
            index.cases.remove(case)
            reason = f"its outputs would be named as those of {known.path}. Rename it"
            index.left_out += [(path, reason) for path in case.files]
