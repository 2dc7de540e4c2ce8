"""Runs a bundle on the series that a DICOMweb service finds, and gives results back to one: nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import logging
import logging.config
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transforms import RADIOGRAPHS, DataError, check_writable, counted
from transforms.files.atomic import atomic_write, remove_unfinished
from transforms.files.lock import locked

from ..bundle import Bundle
from ..engines.flow import cores, flow
from ..prediction.cohort import NEVER_ENDED
from ..prediction.predict import CHECKED, DONE, NOTHING_DONE, SOME_FAILED, SUMMARY, Prediction, warn_of_others
from ..stopping import Steps, Stopped
from .service import Series, Service, ServiceError
from .work import Begun, SeriesWork

logger = logging.getLogger(__name__)

IMAGES = ".series"  # of the output folder: series that are fetched and not done
FROM, INTO = "RADBUNDLES_INPUT", "RADBUNDLES_STORE"  # how the variables with the logins begin


class ArchivePrediction:
    """A bundle made ready to predict series of an archive.

    A few series are on disk at a time. Those of other modalities than the bundle's are not fetched.

    Args:
        bundle: what predicts.
        url: of the DICOMweb service with the images.
        query: which series, by the keywords of attributes.
        output_dir: where outputs go, in folders of studies; and ``predictions.jsonl`` and ``summary.json``.
        store: of the DICOMweb service that results are given to; none by default.
        retry: whether to try series again in which an earlier run ended, or that one left out.
        format: of the masks, with ``store`` a DICOM Segmentation by default.
        workers: threads that fetch, read, write and store while the network computes; by default as many as cores.
        settings: others of :class:`pipelines.prediction.predict.Prediction`.

    Raises:
        DataError: if something that was asked for cannot be.
        WeightsError: if the weights are missing or do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        url: str,
        query: Mapping[str, str],
        output_dir: os.PathLike | str,
        store: str | None = None,
        retry: bool = False,
        format: str | None = None,
        workers: int | None = None,
        **settings: Any,
    ):
        for name in ("submission", "hide_names"):
            if settings.get(name):
                option = {"submission": "--submission", "hide_names": "--names hash"}[name]
                raise DataError(f"{option} is for folders of images, and the images are in an archive: leave it out.")
        self.source, self.query = Service(url, FROM), query
        self.target = Service(store, INTO) if store else None
        self.retry, self.workers = retry, workers or cores()
        if store and format in ("png", "nifti") and not settings.get("report"):
            raise DataError(f"--format {format}: an archive takes DICOM. Give --format seg, or leave out --store.")
        output = Path(os.path.abspath(output_dir))
        format = format or ("seg" if store else None)
        self.ready = Prediction(bundle, output / IMAGES, output, format=format, **settings)

    def run(self) -> int:
        """Predict all series.

        Returns:
            as :meth:`pipelines.prediction.predict.Prediction.run`.

        Raises:
            ServiceError: if a service is not there, or lets nobody in. What was done is kept.
            DataError: if no series matches, the outputs cannot be written, or another run writes there.
            WeightsError: if the weights do not fit.
        """
        check_writable([self.ready.output])
        with locked(self.ready.output):
            remove_unfinished([self.ready.output])
            try:
                return self._run()
            finally:
                shutil.rmtree(self.ready.input, ignore_errors=True)

    def _run(self) -> int:
        found = self.source.search(self.query)
        wanted = ("CT",) if self.ready.bundle.is_volumetric else RADIOGRAPHS
        series = [one for one, modality in found if modality in wanted]
        if not series:
            others = sorted({modality or "none" for _, modality in found})
            raise DataError(
                f"{self.source.url}: no series of {' or '.join(wanted)} matches the query"
                + (f", {len(found)} of {', '.join(others)} do" if found else "")
                + ". Correct --query."
            )
        shutil.rmtree(self.ready.input, ignore_errors=True)  # of a run that was killed
        self.work = SeriesWork(self.ready)
        self.places = {one: f"{place}/{len(series)}" for place, one in enumerate(series, start=1)}
        self.identities: dict[Series, str] = {}
        self.done: dict[Series, dict[str, Any]] = {}
        self.failed: dict[Series, str] = {}
        self.left_out: dict[Series, str] = {}
        self.before: set[Series] = set()
        stopped = 0
        try:
            self._predict(series)
        except Stopped as stop:
            stopped = stop.exit_code
            logger.warning("stopped; the same command continues from here")
        code = stopped if stopped else NOTHING_DONE if not self.done else SOME_FAILED if self.failed else DONE
        self._summarise(series, len(found) - len(series), code)
        return code

    def _predict(self, series: Sequence[Series]) -> None:
        show = counted(len(series), f"predicting {self.ready.bundle.name}", "series", lines=False)
        with Steps() as steps, show as count:
            todo = flow(self._begun(series, steps), self._read, self.work.compute, self._write, self.workers, 1)
            for one, record in todo:
                self._end(one, record)
                count()

    def _begun(self, series: Iterable[Series], steps: Steps) -> Iterator[Series]:
        """The series to do: not those that are done and only have to be stored, which are stored on the way."""
        records = self.work.records
        for one in series:
            steps.check()
            identity = self.identities[one] = _identity(self.source.instances(one))
            record = records.done(one.key, identity)
            if record is not None and (record["images"] or not self.retry):
                self.before.add(one)
                now = self._stored(dict(record))
                self._end(one, now, note=now != record)
            elif records.never_ended(one.key, identity) and not self.retry:
                self._end(one, {"status": "failed", "error": NEVER_ENDED}, note=False)
            elif records.is_started(one.key, identity):
                with records.alone(one.key, identity):
                    record = self._write(self.work.compute([self._read(one)])[0])
                self._end(one, record)
            else:
                records.start(one.key, identity)
                yield one

    def _read(self, one: Series) -> Begun:
        folder = self.ready.input / one.key
        try:
            self.source.fetch(one, folder)
        except ServiceError:
            raise
        except DataError as error:
            return Begun(folder, error=str(error))
        return self.work.read(folder)

    def _write(self, begun: Begun) -> dict[str, Any]:
        record = self.work.write(begun)
        shutil.rmtree(begun.folder, ignore_errors=True)
        return self._stored(record)

    def _stored(self, record: dict[str, Any]) -> dict[str, Any]:
        """Give a record's outputs to the store, if there is one that does not have them; with what came of it."""
        if self.target is None or record.get("stored") == self.target.url:
            return record
        try:
            for name in record["outputs"]:
                if name.endswith(".dcm"):
                    self.target.store(self.ready.output / name)
        except ServiceError as error:
            return record | {"not_stored": str(error), "ends": True}
        except DataError as error:
            return record | {"not_stored": str(error)}
        return record | {"stored": self.target.url}

    def _end(self, one: Series, record: dict[str, Any], note: bool = True) -> None:
        """Keep how a series ended.

        Raises:
            ServiceError: if the store is not there: its results are on disk, and are stored by the next run.
        """
        not_stored, ends = record.pop("not_stored", None), record.pop("ends", False)
        if note:
            self.work.records.append(one.key, self.identities[one], record)
        if ends:
            raise ServiceError(not_stored)
        error = record["error"] if record["status"] != "done" else not_stored
        for reason in record.get("left_out", ()):
            logger.warning("[%s] %s: left out %s", self.places[one], one.key, reason)
        if error is None and not record["images"]:
            self.left_out[one] = record["left_out"][0]
        elif error is None:
            self.done[one] = record
            said = "done before" if one in self.before else f"done in {record['seconds']:.1f} s"
            logger.info("[%s] %s: %s%s", self.places[one], one.key, said, ", stored" if "stored" in record else "")
        else:
            self.failed[one] = error
            logger.warning("[%s] %s: FAILED: %s", self.places[one], one.key, error)

    def _summarise(self, series: Sequence[Series], others: int, code: int) -> None:
        done = {one.key: self.done[one] for one in series if one in self.done}
        summary = {
            "bundle": self.ready.bundle.name,
            "version": self.ready.bundle.metadata["version"],
            "weights": self.ready.weights,
            "format": self.ready.format,
            "input": self.source.url,
            "store": self.target.url if self.target else None,
            "exit_code": code,
            "cases": len(series),
            "done": [
                {"case": name, "outputs": list(record["outputs"]), **_checked(record)} for name, record in done.items()
            ],
            "done_before": len(self.before & self.done.keys()),
            "failed": [{"case": one.key, "error": self.failed[one]} for one in series if one in self.failed],
            "left_out": [{"case": one.key, "reason": self.left_out[one]} for one in series if one in self.left_out],
            "of_other_modalities": others,
        }
        with atomic_write(self.ready.output / SUMMARY) as file:
            json.dump(summary, file, indent=2)
        logger.info(
            "%d of %d series done, %d of them before; %d failed; %d left out; see %s",
            *(len(self.done), len(series), summary["done_before"]),
            *(len(self.failed), len(self.left_out), self.ready.output / SUMMARY),
        )
        if not self.done and not self.failed:
            logger.error("--query: finds no series with an image that %s takes. Correct it.", self.ready.bundle.name)
        warn_of_others(summary["done"])


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was checked of a series' images: it holds for the series if it does for all."""
    images = record["images"].values()
    return {key: all(image[key] for image in images) for key in CHECKED if all(key in image for image in images)}


def _identity(instances: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(instances).encode()).hexdigest()


def predict_archive(bundle: Bundle, quiet: bool = False, **settings: Any) -> int:
    """Run a bundle on series of an archive: see :class:`ArchivePrediction` and :meth:`ArchivePrediction.run`.

    Args:
        bundle: what predicts.
        quiet: whether only warnings and errors are said.
        settings: of :class:`ArchivePrediction`.
    """
    logging.config.fileConfig(bundle.logging, disable_existing_loggers=False, encoding="utf-8")
    if quiet:
        logging.root.setLevel(logging.WARNING)
    return ArchivePrediction(bundle, **settings).run()
