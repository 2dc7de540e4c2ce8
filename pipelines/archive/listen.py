"""Segments what it is sent by C-STORE, and sends what it found to a peer. What it holds is on disk: see ``spool``."""

from __future__ import annotations

import logging
import logging.config
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from transforms import DataError
from transforms.files.atomic import remove_unfinished
from transforms.files.lock import locked

from ..bundle import Bundle
from ..prediction.cohort import NEVER_ENDED
from ..prediction.predict import Prediction
from ..prediction.records import RECORDS
from ..stopping import Steps, Stopped
from .peers import Peer, PeerError, check_title, serve
from .spool import SERIES, Spool
from .work import SeriesWork

logger = logging.getLogger(__name__)

PAUSE = 0.2  # seconds between two looks into the spool
WAITS = (1, 2, 4, 8, 16, 32, 60)  # seconds before an answer is sent again; the last one then


class Listener:
    """A bundle made ready to segment what it is sent.

    Args:
        bundle: what segments.
        spool: the folder of what waits, see :class:`pipelines.archive.spool.Spool`.
        store: who gets the answers.
        host: of this machine, where to listen.
        port: of it.
        title: its own title.
        allowed: titles that senders may have.
        settle: seconds without another image, after which a series is complete.
        limit: images that may wait; more are refused, and their sender keeps them.
        settings: of :class:`pipelines.prediction.predict.Prediction`.

    Raises:
        DataError: if something that was asked for cannot be.
        WeightsError: if the weights are missing or do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        spool: os.PathLike | str,
        store: str,
        host: str = "127.0.0.1",
        port: int = 11112,
        title: str = "RADBUNDLES",
        allowed: Sequence[str] = (),
        settle: float = 10,
        limit: int = 10_000,
        format: str = "seg",
        **settings: Any,
    ):
        self.peer, self.title = Peer.of(store), check_title(title)
        self.allowed = [check_title(one) for one in allowed]
        if not _is_loopback(host) and not allowed:
            raise DataError(f"--host {host}: others can send there. Say who may: --allow TITLE.")
        self.bundle, self.host, self.port, self.settle = bundle, host, port, settle
        self.folder, self.limit = Path(os.path.abspath(spool)), limit
        images, made = self.folder / "images", self.folder / "made"
        self.ready = Prediction(bundle, images, made, format=format, pictures=False, **settings)
        if not self.ready.needs_dicom:
            raise DataError(f"--format {format}: answers are DICOM. Give --format seg.")
        self.tries, self.next_try = 0, 0.0

    def run(self) -> None:
        """Take images, segment them and send answers, until SIGTERM or SIGINT.

        Raises:
            DataError: if nothing can listen there, or another process uses the spool.
            WeightsError: if the weights do not fit.
        """
        with locked(self.folder):
            self.spool = Spool(self.folder, self.limit)
            remove_unfinished([self.folder])
            if not any(self.spool.jobs()):
                (self.spool.made / RECORDS).unlink(missing_ok=True)  # of jobs that are gone
            self.work = SeriesWork(self.ready)
            taken_up = self.spool.waiting
            with suppress(Stopped), Steps() as steps:
                server = serve(
                    self.title, self.host, self.port, self.allowed, self.bundle.is_volumetric, self.spool.put
                )
                logger.info(
                    "%s listens as %s at %s:%d, answers go to %s@%s:%d; %d images were waiting",
                    *(self.bundle.name, self.title, self.host, self.port, *self.peer, taken_up),
                )
                try:
                    while True:
                        steps.check()
                        if not self._step():
                            time.sleep(PAUSE)
                finally:
                    server.shutdown()
            logger.info("stopped; what waits is taken up by the same command")

    def _step(self) -> bool:
        """Segment one series and send what can be sent. Returns whether there was a series."""
        self.spool.take(self.settle)
        job = next(self.spool.jobs(), None)
        if job is not None:
            self._segment(job)
        self._send()
        return job is not None

    def _segment(self, job: str) -> None:
        records, folder = self.work.records, self.spool.images / job / SERIES
        if records.never_ended(job, ""):
            record: dict[str, Any] = {"status": "failed", "error": NEVER_ENDED}
        elif records.is_started(job, ""):
            with records.alone(job, ""):
                record = self._compute(folder)
                self._let_go(job, record)
        else:
            records.start(job, "")
            record = self._compute(folder)
        if (self.spool.images / job).exists():
            self._let_go(job, record)
        records.append(job, "", {"status": record["status"]})
        for reason in record.get("left_out", ()):
            logger.warning("%s: left out %s", job, reason)
        if record["status"] == "done" and record["images"]:
            logger.info("%s: done in %.1f s", job, record["seconds"])
        elif record["status"] == "done":
            logger.info("%s: no image for %s. It is in %s", job, self.bundle.name, self.spool.failed / job)
        else:
            logger.warning("%s: FAILED: %s. Its images are in %s", job, record["error"], self.spool.failed / job)

    def _let_go(self, job: str, record: Mapping[str, Any]) -> None:
        """Of a job's images, which are kept where nothing is answered to them: their sender relies on us."""
        self.spool.done(job, record["status"] != "done" or not record["images"])

    def _compute(self, folder: Path) -> dict[str, Any]:
        return self.work.write(self.work.compute([self.work.read(folder)])[0])

    def _send(self) -> None:
        if time.monotonic() < self.next_try:
            return
        for job, files in self.spool.to_send():
            try:
                if files:
                    self.peer.send(files, self.title, Path.unlink)
                self.spool.sent(job)
                self.tries = 0
            except PeerError as error:
                if not error.again:
                    self.spool.refused(job)
                    logger.error("%s: %s. The answers are in %s", job, error, self.spool.failed / f"{job}.answers")
                    continue
                wait = WAITS[min(self.tries, len(WAITS) - 1)]
                self.tries, self.next_try = self.tries + 1, time.monotonic() + wait
                logger.warning("%s: answers wait, next try in %d s", error, wait)
                return


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(bundle: Bundle, **settings: Any) -> None:
    """Segment what is sent: see :class:`Listener` and :meth:`Listener.run`.

    Args:
        bundle: what segments.
        settings: of :class:`Listener`.
    """
    logging.config.fileConfig(bundle.logging, disable_existing_loggers=False, encoding="utf-8")
    Listener(bundle, **settings).run()
