"""Finds in a tree of mixed files the cases that a reader can take: each header is read once, of any kind of file.

A case is a radiograph or a CT. Everything else is left out, with the reason. Knows no bundle and no network.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from ..errors import DataError
from ..files.dicom import first_bytes, naming, open_dicom
from ..files.names import image_name
from ..files.nifti import is_nifti, open_nifti
from ..files.picture import is_picture
from ..progress_bar import progress
from .ct import CTReader
from .ct_series import TAGS as CT_TAGS
from .header import OtherKind, other_kind, other_than_ct
from .radiograph import HEADER_TAGS, RadiographReader

logger = logging.getLogger(__name__)

TAGS = sorted({*CT_TAGS, *HEADER_TAGS, "SOPInstanceUID"})
NAMES_HAVE_CASE = sys.platform not in ("win32", "darwin")  # or a.png and A.png are one file
PICTURE = "is a PNG or JPEG picture"
Header = Dataset | str  # of a DICOM file, or what the file is instead


@dataclass(frozen=True)
class Case:
    """One radiograph or one CT.

    Attributes:
        image: as MONAI's LoadImaged takes it: a file, a folder that holds one series, or the files of a series that
            lies among others.
        files: its files; of a CT series in the order of the slices.
        identity: a hash of where its files are and of what changes when they do.
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
        left_out: each file that is not part of a case, and why; sorted by path.
    """

    cases: list[Case]
    left_out: list[tuple[Path, str]]

    @property
    def faults(self) -> list[tuple[Path, str]]:
        """What was left out and is not just of another modality or view by its header, or a localizer."""
        return [(path, reason) for path, reason in self.left_out if not isinstance(reason, OtherKind)]

    def leave_out(self, case: Case, reason: str) -> None:
        """Take a case out, with the reason."""
        self.cases.remove(case)
        self.left_out += [(path, reason) for path in case.files]

    def by_reason(self) -> dict[str, list[Path]]:
        """What was left out, by the reason."""
        grouped = defaultdict(list)
        for path, reason in self.left_out:
            grouped[reason].append(path)
        return dict(grouped)

    def log_left_out(self) -> None:
        """Warn of what was left out, a line a reason."""
        lines = [f"  {len(files)} files, the first {files[0]}: {reason}" for reason, files in self.by_reason().items()]
        if lines:
            logger.warning("left out %d files:\n%s", len(self.left_out), "\n".join(lines))


def index_images(
    folder: os.PathLike | str, reader: CTReader | RadiographReader, without: os.PathLike | str | None = None
) -> Index:
    """List what a reader can take at or below a folder. Headers are read in parallel; pixels are not looked at.

    Args:
        folder: the tree; names and extensions of its DICOM files do not matter, nor do the folders they are in.
        reader: a CTReader or a RadiographReader: which of the two decides what is looked for.
        without: a folder in the tree to pass over, as where the outputs go.

    Raises:
        DataError: if the folder is missing.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give the folder of the images (--input, or --dataset_dir).")
    excluded = Path(without).resolve() if without else None
    paths = []
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if excluded is None or (Path(parent) / name).resolve() != excluded)
        paths += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    with ThreadPoolExecutor() as pool:
        headers = pool.map(_read_header, paths)
        files = dict(zip(paths, progress(headers, len(paths), "reading headers", "file"), strict=True))
    index = _sorted_out(files, reader, root)
    index.cases.sort(key=lambda case: case.path)
    _drop_clashes(index)
    index.left_out.sort()
    return index


def _sorted_out(files: dict[Path, Header], reader: CTReader | RadiographReader, root: Path) -> Index:
    index = Index([], [])
    # the largest first, so that a whole file is no copy of one that was cut short
    files = dict(sorted(files.items(), key=lambda item: -item[0].stat().st_size if isinstance(item[1], Dataset) else 0))
    if isinstance(reader, CTReader):
        _find_series(files, reader, root, index)
    else:
        _find_radiographs(files, reader, root, index)
    return index


def find_image(path: os.PathLike | str, reader: CTReader | RadiographReader) -> Case:
    """The one radiograph in a file; or the one CT in a folder with nothing below it that counts, or in a NIfTI file.

    Raises:
        DataError: if there is none, with what :func:`index_images` would leave it out for, or if there are several.
    """
    path = Path(path)
    paths = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if path.is_dir() and isinstance(reader, RadiographReader):
        raise DataError(f"{path}: is a folder. Give the file of a radiograph.")
    with ThreadPoolExecutor() as pool:
        headers = dict(zip(paths, pool.map(_read_header, paths), strict=True))
    index = _sorted_out(headers, reader, path if path.is_dir() else path.parent)
    if len(index.cases) == 1:
        return index.cases[0]
    if index.cases:
        raise DataError(f"{path}: holds {len(index.cases)} series. Give the folder of one, or the list of its files.")
    reason = index.left_out[0][1].rstrip(".") if index.left_out else "holds no file. Give the folder of one series"
    raise DataError(f"{path}: {reason}.")


def find_images(
    folder: os.PathLike | str, reader: CTReader | RadiographReader, output_dir: os.PathLike | str | None = None
) -> list[dict[str, str | list[str]]]:
    """List what a reader can take at or below a folder as a MONAI datalist; the log says what was left out and why.

    Beside what :func:`index_images` leaves out, DICOM radiographs that were cut short.

    Args:
        folder: is searched with all that is below it.
        reader: that will read the images, a CTReader or a RadiographReader.
        output_dir: where masks and overlays go: what lies below it is not an input.

    Returns:
        ``[{"image": path}, ...]``, sorted by path; of a CT series the folder, or its files where it lies among others.

    Raises:
        DataError: if the folder is missing or holds no image.
    """
    index = index_images(folder, reader, output_dir)
    for case in list(index.cases):
        if case.is_dicom and len(case.files) == 1 and (reason := _refused(case.path, reader.open, case.path)):
            index.leave_out(case, reason)
    index.log_left_out()
    if not index.cases:
        wanted = "CT" if isinstance(reader, CTReader) else "radiograph"
        raise DataError(
            f"{folder}: none of its {len(index.left_out)} files is a {wanted} that can be used"
            + (f"; {index.left_out[0][0].name}: {index.left_out[0][1]}" if index.left_out else "")
            + ". Give the folder of the images with --dataset_dir."
        )
    return [{"image": case.image} for case in index.cases]


def _read_header(path: Path) -> Header:
    try:
        return open_dicom(path, inflate=False, stop_before_pixels=True, specific_tags=TAGS)
    except DataError as error:  # no regular file, or deflated
        return str(error).removeprefix(f"{path}: ").removesuffix(".")
    except InvalidDicomError:
        return PICTURE if is_picture(path) else f"not a DICOM file: {first_bytes(path)}"
    except Exception as error:  # a damaged file can fail in pydicom, struct or zlib
        return f"cannot be read as DICOM, it may be cut short ({error}). Copy it again"


def _find_radiographs(files: dict[Path, Header], reader: RadiographReader, root: Path, index: Index) -> None:
    seen: dict[str, Path] = {}

    def check(path: Path, header: Header) -> str | None:
        if isinstance(header, str):
            return _refused(path, reader.open, path) if header is PICTURE or is_nifti(path) else header
        return other_kind(header) or _refused(path, reader.check, path, header) or _copy_of(header, path, seen)

    for path, header in files.items():
        if why_not := _refused(path, check, path, header):
            index.left_out.append((path, why_not))
        else:
            index.cases.append(_case(str(path), [path], [header], root))


def _find_series(files: dict[Path, Header], reader: CTReader, root: Path, index: Index) -> None:
    series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    others: set[Path] = set()  # folders that hold more than one series
    seen: dict[str, Path] = {}

    def check(path: Path, header: Header) -> str | None:
        if isinstance(header, str):
            return _refused(path, reader.open, path) or _no_hounsfield(path) if is_nifti(path) else header
        if why_not := other_than_ct(header):
            return why_not
        if "Rows" not in header:
            return "has no Rows (0028,0010): not an image, or cut short"
        if (copy := _copy_of(header, path, seen)) is None:
            series[str(header.get("SeriesInstanceUID") or path.parent)].append((path, header))
        return copy

    for path, header in files.items():
        if why_not := _refused(path, check, path, header):
            index.left_out.append((path, why_not))
            if isinstance(header, Dataset) and "Rows" in header:
                others.add(path.parent)
        elif isinstance(header, str):
            index.cases.append(_case(str(path), [path], [header], root))
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
        index.cases.append(_case(image, volume.files, [header_of[path] for path in volume.files], root))


def _case(image: str | list[str], files: Sequence[Path], headers: Sequence[Header], root: Path) -> Case:
    identity = hashlib.sha256()
    for path, header in zip(files, headers, strict=True):
        stat = path.stat()
        uid = header.get("SOPInstanceUID") if isinstance(header, Dataset) else ""
        identity.update(os.fsencode(path.relative_to(root)))  # a name need not be text
        identity.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\0{uid}\0".encode())
    return Case(image, tuple(files), identity.hexdigest(), isinstance(headers[0], Dataset))


def _refused(path: Path, check: Callable[..., object], *arguments: object) -> str | None:
    """What a check says against a file, or raises."""
    try:
        with naming(path):
            said = check(*arguments)
    except DataError as error:
        return str(error).removeprefix(f"{path}: ")
    return said if isinstance(said, str) else None


def _copy_of(header: Dataset, path: Path, seen: dict[str, Path]) -> str | None:
    uid = str(header.get("SOPInstanceUID") or path)
    first = seen.setdefault(uid, path)
    return None if first == path else f"is a copy of {first}: both have the same SOPInstanceUID (0008,0018)"


def _no_hounsfield(path: Path) -> str | None:
    if open_nifti(path).get_data_dtype().itemsize == 1:
        return "its voxels have 8 bits, which cannot hold Hounsfield units: it may be a segmentation"
    return None


def _drop_clashes(index: Index) -> None:
    """Two cases whose outputs would have one name: the second is left out."""
    first: dict[str, Case] = {}
    for case in list(index.cases):
        name = str(case.path.parent / image_name(case.path))
        known = first.setdefault(name if NAMES_HAVE_CASE else name.casefold(), case)
        if known is not case:
            index.leave_out(case, f"its outputs would be named as those of {known.path}. Rename it")
