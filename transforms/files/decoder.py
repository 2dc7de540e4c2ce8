"""The program of a decoding process: it answers one request after another until its input ends.

:mod:`transforms.files.worker` runs this file as a script and speaks with it through pipes. It imports nothing of this
project, whose packages load torch, and imports libraries only when a request needs them, so that it starts fast.

A request is a length of 4 bytes, JSON of that length, and as many bytes more as its ``size`` says. An answer is a
length and JSON likewise: ``dtype`` and ``shape``, after which the array follows in the order ``order``; or ``error``.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, BinaryIO, cast

try:
    import fcntl
    import resource
except ImportError:  # Windows has no such limits
    fcntl = resource = None  # type: ignore[assignment]

HAS_LIMITS = resource is not None and sys.platform == "linux"  # macOS refuses one of address space

LENGTH = struct.Struct("<I")
CHUNK = 2**22  # values of a volume that are scaled at a time
OUT_OF_MEMORY = "out of memory"
NO_MEMORY = ("MemoryError", "Unable to allocate", "bad_alloc")  # how Python, NumPy and C++ say so
WRAPPED = "Unable to decode as exceptions were raised by all available plugins:"  # what pydicom puts before a reason
LONGEST = 300  # characters of a reason

# The decoders by transfer syntax, as pydicom 3 and as pydicom 2 name them. Why these: docs/decoders.md
DECODERS = {
    "1.2.840.10008.1.2.4.50": ("pillow", "pillow"),  # JPEG Baseline
    "1.2.840.10008.1.2.4.51": ("pillow", "pillow"),  # JPEG Extended, of 8 bits
    "1.2.840.10008.1.2.4.57": ("gdcm", "gdcm"),  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": ("gdcm", "gdcm"),  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": ("pyjpegls", "jpeg_ls"),  # JPEG-LS
    "1.2.840.10008.1.2.4.81": ("pyjpegls", "jpeg_ls"),  # JPEG-LS, near-lossless
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "pylibjpeg"),  # JPEG 2000, lossless
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "pylibjpeg"),  # JPEG 2000
    "1.2.840.10008.1.2.4.201": ("pylibjpeg", "pylibjpeg"),  # High-Throughput JPEG 2000, lossless
    "1.2.840.10008.1.2.4.202": ("pylibjpeg", "pylibjpeg"),  # the same, RPCL
    "1.2.840.10008.1.2.4.203": ("pylibjpeg", "pylibjpeg"),  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.5": ("pydicom", "rle"),  # RLE
}

Answer = tuple[dict[str, Any], Iterable[Any]]  # what comes before an array, and its parts


def dicom(request: dict[str, Any], frame: bytes) -> Answer:
    """Decode one frame with the decoder of its transfer syntax. ``tags`` are those that describe its pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = request["syntax"]
    for tag, value in request["tags"].items():
        setattr(dataset, tag, value)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    names = DECODERS.get(request["syntax"], ("", ""))
    if hasattr(dataset, "pixel_array_options"):
        dataset.pixel_array_options(decoding_plugin=names[0])
    else:  # pydicom 2
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.convert_pixel_data(names[1])
    return _whole(dataset.pixel_array)


def picture(request: dict[str, Any], nothing: bytes) -> Answer:
    """Decode a PNG or JPEG file: its stored values, or grey ones of 8 or 16 bits as a viewer shows it."""
    import numpy as np
    from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin

    # the classes, for Image.open has a limit of its own
    kinds = {"PNG": PngImagePlugin.PngImageFile, "JPEG": JpegImagePlugin.JpegImageFile}
    image: Image.Image = kinds[request["kind"]](request["path"])
    if request["stored"]:
        return _whole(np.asarray(image))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits
        return _whole(np.asarray(image))
    if "A" in image.getbands() or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return _whole(np.asarray(image.convert("L")))


def nifti(request: dict[str, Any], nothing: bytes) -> Answer:
    """Read the voxels of a NIfTI file as float32, its first axis fastest. The file's own type is held, no more."""
    import nibabel
    import numpy as np
    from nibabel.volumeutils import apply_read_scaling

    proxy: Any = cast(nibabel.Nifti1Image, nibabel.load(request["path"], mmap=False)).dataobj
    stored = proxy.get_unscaled()
    flat = stored.reshape(-1, order="F")
    scaled = (
        np.asarray(apply_read_scaling(flat[start : start + CHUNK], proxy.slope, proxy.inter), np.float32)
        for start in range(0, flat.size, CHUNK)
    )
    return {"dtype": "float32", "shape": stored.shape, "order": "F"}, scaled


def _whole(array: Any) -> Answer:
    import numpy as np

    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return {"dtype": array.dtype.str, "shape": array.shape, "order": "C"}, [array]


TASKS: dict[str, Callable[[dict[str, Any], bytes], Answer]] = {"dicom": dicom, "picture": picture, "nifti": nifti}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    while head := requests.read(LENGTH.size):
        request = json.loads(requests.read(*LENGTH.unpack(head)))
        given = requests.read(request["size"])
        _limit(request["memory"])
        try:
            before, parts = TASKS[request["task"]](request, given)
            parts = iter(parts)
            first = next(parts, b"")  # what is wrong with a file shows before its answer begins
            said = packed(before)
        except Exception as error:
            said, first, parts = packed({"error": _said(error)}), b"", iter(())
        _limit(None)  # before the answer, which the next request follows
        answers.write(said)
        for part in chain([first], parts):
            answers.write(memoryview(part).cast("B"))
        answers.flush()


def packed(message: dict[str, Any]) -> bytes:
    """A message as it goes through a pipe."""
    text = json.dumps(message).encode()
    return LENGTH.pack(len(text)) + text


def _said(error: Exception) -> str:
    text = " ".join(str(error).removeprefix(WRAPPED).split()) or type(error).__name__
    out = isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY)
    return OUT_OF_MEMORY if out else text[:LONGEST]


def _limit(memory: int | None) -> None:
    """Set the limits for a file: of address space, in bytes, and of life, which ends with the parent's. Or set none."""
    if not HAS_LIMITS:
        return
    highest = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = highest if memory is None else memory
    resource.setrlimit(
        resource.RLIMIT_AS, (wanted if highest == resource.RLIM_INFINITY else min(wanted, highest), highest)
    )
    # Between files the end of its input ends the process. Within one, which may hang, the system then sends SIGIO.
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETFL, flags & ~os.O_ASYNC if memory is None else flags | os.O_ASYNC)
    if memory is not None:  # what libraries say is kept for one file only
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)


def main() -> None:
    """Serve on the standard streams."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print must not get between the answers
    if HAS_LIMITS:
        signal.signal(signal.SIGIO, signal.SIG_DFL)  # which ends the process, in the middle of a library too
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    if resource is not None:  # macOS has these two
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold a patient's image
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # what libraries say goes into a file
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])  # the parent's, and not the folder of this file
    main()
