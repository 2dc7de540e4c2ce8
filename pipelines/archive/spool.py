"""Images that were sent and wait to be segmented, and answers that wait to be sent: on disk, so that a kill loses none.

A series goes from one folder to the next by renaming: ``incoming/SERIES`` as long as its images arrive, ``images/JOB``
while it is segmented, ``answers/JOB`` until the answers are sent; or ``failed/JOB``, which is for a person.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from transforms.files.atomic import atomic_write

SERIES = "series"  # the folder of a job's images


class FullError(Exception):
    """As many images wait as may."""


class Spool:
    """The folder, for one process with several threads.

    Args:
        folder: made where missing, for its owner alone.
        limit: how many images may wait.
    """

    def __init__(self, folder: Path, limit: int):
        self.limit = limit
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.incoming, self.images, self.made, self.answers, self.failed = (
            folder / name for name in ("incoming", "images", "made", "answers", "failed")
        )
        for path in (self.incoming, self.images, self.made, self.answers, self.failed):
            path.mkdir(exist_ok=True, mode=0o700)
        self.lock = threading.Lock()
        self.arrived: dict[str, float] = {}  # when the last image of a series came, of this process' clock
        self.waiting = sum(1 for place in (self.incoming, self.images) for _ in place.rglob("*.dcm"))

    def put(self, series: str, instance: str, content: bytes) -> None:
        """Keep an image: when this returns, it outlives a power cut.

        Args:
            series: its UID, as :func:`uids.uid_in` gives it.
            instance: its UID, alike.
            content: of the file.

        Raises:
            FullError: if too many wait.
            DataError: if it cannot be written.
        """
        with self.lock:
            path = self.incoming / series / f"{instance}.dcm"
            if (new := not path.exists()) and self.waiting >= self.limit:
                raise FullError
            with atomic_write(path, "wb", private=True) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            for folder in (path.parent, self.incoming):
                sync(folder)
            self.waiting += new
            self.arrived[series] = time.monotonic()

    def take(self, settle: float) -> None:
        """Make jobs of the series of which no image came for ``settle`` seconds.

        From here on images go by numbers, so that no UID gets into a log.
        """
        with self.lock:
            now = time.monotonic()
            for folder in sorted(self.incoming.iterdir()):
                if now - self.arrived.setdefault(folder.name, now) >= settle:
                    job = self.images / f"{time.time_ns():020d}"  # in the order of their coming
                    job.mkdir(mode=0o700)
                    for number, path in enumerate(sorted(folder.glob("*.dcm")), start=1):
                        os.rename(path, folder / f"image-{number:04d}.dcm")
                    os.rename(folder, job / SERIES)
                    del self.arrived[folder.name]

    def jobs(self) -> Iterator[str]:
        """What is to be segmented, the oldest first."""
        for job in sorted(self.images.iterdir()):
            if (job / SERIES).is_dir():
                yield job.name
            else:  # a kill came between the two steps that make or end a job
                shutil.rmtree(job)

    def done(self, job: str, failed: bool) -> None:
        """Turn a job's outputs into answers, and then let go of its images, or put them aside."""
        made, answers = self.made / job, self.answers / job
        if made.is_dir():
            for path in made.rglob("*"):
                sync(path)
            shutil.rmtree(answers, ignore_errors=True)  # of the same images: a kill came before they were let go of
            os.rename(made, answers)
            sync(self.answers)
        with self.lock:
            self.waiting -= sum(1 for _ in (self.images / job).rglob("*.dcm"))
        if failed:
            shutil.rmtree(self.failed / job, ignore_errors=True)
            os.rename(self.images / job, self.failed / job)
        else:
            shutil.rmtree(self.images / job)

    def to_send(self) -> list[tuple[str, list[Path]]]:
        """The jobs with answers, and the DICOM files of each, the oldest first."""
        return [(job.name, sorted(job.rglob("*.dcm"))) for job in sorted(self.answers.iterdir())]

    def sent(self, job: str) -> None:
        """Remove a job's answers, of which none is left to send."""
        shutil.rmtree(self.answers / job)

    def refused(self, job: str) -> None:
        """Put a job's answers aside."""
        target = self.failed / f"{job}.answers"
        shutil.rmtree(target, ignore_errors=True)
        os.rename(self.answers / job, target)


def sync(path: Path) -> None:
    """Have a file or a folder written to the disk; Windows does this for files alone."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
