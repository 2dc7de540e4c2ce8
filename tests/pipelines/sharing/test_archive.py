"""What is refused of a package: any changed byte, files that have no place in it, and what would fill the memory."""

from __future__ import annotations

import os
import stat
import struct
import tracemalloc
import zipfile

import pytest

from pipelines.sharing.archive import MAX_FILES, read_package
from tests.pipelines.sharing.conftest import refusal
from tests.pipelines.sharing.tampering import entry, rewritten, with_file
from transforms import DataError


def test_a_rewritten_package_is_accepted_where_all_fits(path):
    assert read_package(path).checksums == read_package(rewritten(path)).checksums


def test_any_changed_byte_is_found(path):
    """Or changes nothing: what is packed in a zip has some bits that mean nothing."""
    first = read_package(path)
    content, found = path.read_bytes(), 0
    for place in [*range(0, len(content), len(content) // 150), *range(len(content) - 400, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
        try:
            same = read_package(path) == first
        except DataError as error:
            same = str(error).startswith(str(path))  # which is what is changed
            found += 1
        assert same
    assert found > 500
    for other in (content[:-30], content + b"x", b"x" + content, b"", b"text"):
        path.write_bytes(other)
        with pytest.raises(DataError, match="small.zip"):
            read_package(path)


@pytest.mark.parametrize("name", ["LICENSE", "models/model.pt", "configs/train.json", "transforms/errors.py"])
def test_a_changed_missing_or_added_file_is_found(small_package, path, name):
    """By someone who knows the format and sets all but the checksums right."""

    def packaged_with(change, more=()):
        path.write_bytes(small_package)
        with zipfile.ZipFile(path) as archive:
            sums = archive.read("small/checksums.json")
        return rewritten(path, change, [*more, (entry("small/checksums.json"), sums)], checksums=False)

    with pytest.raises(DataError, match=f"{name} is not as its checksum says"):
        read_package(packaged_with(lambda n, data: data + b" " if n == f"small/{name}" else data))
    with pytest.raises(DataError, match=f"{name} is only in the package, or only in its checksums"):
        read_package(packaged_with(lambda n, data: None if n == f"small/{name}" else data))
    with pytest.raises(DataError, match="docs/new.txt is only in the package"):
        read_package(packaged_with(lambda n, data: data, [(entry("small/docs/new.txt"), b"")]))


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("small/../../evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("/tmp/evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("C:/evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("small\\..\\evil.txt", stat.S_IFREG, "is a path that leaves the bundle's folder"),
        ("small/./evil.txt", stat.S_IFREG, "has another name than of letters"),
        ("small/\x1b[2Kevil.txt", stat.S_IFREG, "has another name than of letters"),
        ("evil.txt", stat.S_IFREG, "lies in no folder"),
        ("other/evil.txt", stat.S_IFREG, "is not one folder"),
        ("small/link.txt", stat.S_IFLNK, "is a link"),
        ("small/docs/", stat.S_IFDIR, "has another name than of letters"),
        ("small/license", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/docs/Readme.md", stat.S_IFREG, "holds a name twice"),
        ("small/docs/README.md", stat.S_IFREG, "holds a name twice"),
        ("small/code.pkl", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/model.ts", stat.S_IFREG, "is of no kind that a packaged bundle may hold"),
        ("small/torch/__init__.py", stat.S_IFREG, "is Python outside"),
        ("small/json.py", stat.S_IFREG, "is Python outside"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_that_have_no_place_in_a_package(path, capsys, name, mode, message):
    path = rewritten(path, more=[(entry(name, mode | 0o644), b"")])
    error = refusal(["verify", path], capsys)
    assert message in error and error.startswith("error: ") and "\x1b" not in error


def test_bytes_beside_the_files_are_refused(small_package, path):
    """Unpackers that read a stream, or extra fields, would write what the directory does not name."""
    hidden = entry("small/hidden.txt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(hidden, b"x")
        archive.filelist.remove(hidden)  # its bytes stay, its name goes
    with pytest.raises(DataError, match="bytes that python -m pipelines package does not write"):
        read_package(path)
    path.write_bytes(small_package)
    named = entry("small/docs/named.txt")
    named.extra = b"\x75\x70\x02\x00ab"  # a name in Unicode, which some take instead
    with pytest.raises(DataError, match="bytes that python -m pipelines package does not write"):
        read_package(rewritten(path, more=[(named, b"")]))


def test_a_zip_that_would_fill_the_disk_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        for info in archive.filelist[:4]:
            info.file_size = 1 << 30  # as the directory will declare
        archive.writestr(entry("small/docs/x.txt"), b"")
    with pytest.raises(DataError, match="unpacks to more than"):
        read_package(path)


def most_memory(path, message):
    """What is taken while a package is refused, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read_package(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_small_file_unpacks_to_is_bounded(path):
    """A quarter of a megabyte of a picture that unpacks to 80."""
    zeros = b"\x89PNG\r\n\x1a\n" + bytes(80 * 1024**2)
    rewritten(path, more=[(entry("small/docs/x.png"), zeros)])
    assert path.stat().st_size < 2 * 1024**2
    assert most_memory(path, "unpacks to more than 1000 files or 6.* bytes") < 20 * 1024**2


def test_a_file_that_unpacks_to_more_than_it_says_costs_no_more_than_it_says(path):
    rewritten(path, more=[(entry("small/docs/x.png"), b"\x89PNG\r\n\x1a\n" + bytes(80 * 1024**2))])
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("small/docs/x.png")
    small = struct.pack("<L", 1000)
    content[info.header_offset + 22 : info.header_offset + 26] = small
    place = content.rindex(b"PK\1\2", 0, content.rindex(b"small/docs/x.png"))
    content[place + 24 : place + 28] = small
    path.write_bytes(content)
    assert most_memory(path, "is no zip file, or a damaged one") < 20 * 1024**2


@pytest.mark.parametrize(("name", "limit"), [("docs/data_license.txt", 4), ("configs/train.json", 1)])
def test_texts_have_a_size(path, name, limit):
    with_file(path, name, b'"' + b"x" * limit * 1024**2 + b'"')
    with pytest.raises(DataError, match=f"{name}: unpacks to .* bytes, and {limit * 1024**2} are allowed"):
        read_package(path)


def test_a_directory_of_countless_files_is_not_read(path):
    """Of names alone: zipfile makes an object of each before one can count them."""
    files = 100_000
    names = b"".join(b"PK\1\2" + bytes(24) + struct.pack("<H", 7) + bytes(16) + b"%07d" % n for n in range(files))
    path.write_bytes(names + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, files % 2**16, files % 2**16, len(names), 0, 0))
    assert most_memory(path, f"more than {MAX_FILES} files") < 2 * 1024**2
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, files, files, len(names), 0)
    large += struct.pack("<4sLQL", b"PK\6\7", 0, len(names), 1)
    path.write_bytes(names + large + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100, 0, 0))
    assert most_memory(path, "does not end as a package does") < 2 * 1024**2


def test_only_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "package.zip")
    with pytest.raises(DataError, match="is no file"):
        read_package(tmp_path / "package.zip")
    with pytest.raises(DataError, match="cannot be read"):
        read_package(tmp_path / "missing.zip")
