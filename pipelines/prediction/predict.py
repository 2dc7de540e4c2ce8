"""Runs a bundle on a tree of images case by case: a failure is noted and skipped, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import logging
import logging.config
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from transforms import DataError, check_writable, index_images
from transforms.files.atomic import atomic_write, remove_unfinished
from transforms.files.lock import LOCK, locked
from transforms.files.worker import Limits

from ..bundle import Bundle
from ..engines.flow import cores
from ..engines.local import Engine, LocalEngine
from ..engines.on_ray import RayEngine
from ..ensembles.weights import choose_weights
from ..stopping import Stopped
from .cohort import Cohort
from .formats import FORMATS, REPORT, choose_format, writer_of
from .model import BATCH_SIZES
from .names import HashedNames
from .records import Records
from .stages import stages_of
from .submission import write_submission

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2  # exit codes
CHECKED = ("frontal",)  # what records say of images that were checked, and the summary too


class Prediction:
    """A bundle made ready to predict.

    Its preprocessing, network, inferer, postprocessing and outputs are those of its ``inference.json``; where another
    format is wanted, its writer of masks is exchanged.

    Args:
        bundle: what predicts.
        dataset_dir: the tree of images.
        output_dir: where outputs go, in the tree's structure: masks, overlays, ``predictions.jsonl``, a line
            for each case, and ``summary.json``.
        format: of the masks, see :data:`pipelines.prediction.formats.FORMATS`; the bundle's own if not given.
        fractional: whether a DICOM Segmentation keeps probabilities.
        report: whether to write boxes as a DICOM Structured Report too, for a bundle that finds boxes.
        submission: the file of the challenge's submission to write, for such a bundle.
        workers: threads that read and write while the network computes; by default as many as cores. On Ray, those of
            each worker, which takes as many cores, see :class:`pipelines.engines.on_ray.RayEngine`.
        batch_size: images that the network takes at once, or slices of a CT; by default the bundle's, or one that suits
            the device.
        retry: whether to try cases again in which an earlier run ended, and which are passed over otherwise.
        keep_free_text: whether DICOM outputs keep all of the patient and the study that the image says, see
            :func:`pipelines.dicom.source.read_source`.
        hide_names: whether cases go by a keyed hash in outputs, log and records, see
            :class:`pipelines.prediction.names.HashedNames`.
        pictures: whether to write overlays, the pictures of masks laid over their images.
        calibrated: whether probabilities get the temperature that was fitted to the weights.
        ensemble: the output folder of a cross-validation, the mean of whose models predicts.
        engine: what does the cases: ``"local"``, this process; or ``"ray"``, workers of Ray.
        address: of a cluster of Ray; by default this machine alone.
        overlays: names of the bundle's overlays of its inference.
        overrides: values of the configuration, as for ``python -m monai.bundle run``.

    Raises:
        DataError: if the bundle cannot do what is asked for, or the outputs cannot be written.
        WeightsError: if the weights are missing or do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        dataset_dir: os.PathLike | str,
        output_dir: os.PathLike | str,
        format: str | None = None,
        fractional: bool = False,
        report: bool = False,
        submission: os.PathLike | str | None = None,
        workers: int | None = None,
        batch_size: int | None = None,
        retry: bool = False,
        keep_free_text: bool = False,
        hide_names: bool = False,
        pictures: bool = True,
        calibrated: bool = False,
        ensemble: os.PathLike | str | None = None,
        engine: str = "local",
        address: str | None = None,
        overlays: Sequence[str] = (),
        **overrides: Any,
    ):
        self.bundle, self.input, self.output = bundle, Path(dataset_dir), Path(output_dir)
        self.submission, self.retry = submission, retry
        self.names = HashedNames(self.input, self.output) if hide_names else None
        if self.names:
            self.input = self.names.tree
        if self.names and submission:
            raise DataError("--submission is there to name the images: leave out --names hash.")
        if address and engine != "ray":
            raise DataError("--address is that of a cluster of Ray: add --engine ray, or leave it out.")
        self.engine, self.address, self.workers = engine, address, workers
        self.batch_size = batch_size
        if bundle.is_volumetric and batch_size:
            overrides["batch_size"] = batch_size
        places = {"dataset_dir": str(self.input), "output_dir": str(self.output)}
        self.parser = bundle.read(["inference", *overlays], **places, **overrides)
        if overlays and bundle.changed(self.parser, ["handlers"]):
            raise DataError(
                f"{' '.join(overlays)}: has handlers, which predict does not run, as it does case by case. For the "
                "challenge's submission give --submission FILE in place of the overlay."
            )
        if submission and not bundle.finds_boxes:
            raise DataError(f"{bundle.name}: has no submission: leave out --submission, which is for boxes.")
        if report and not bundle.finds_boxes:
            raise DataError(f"{bundle.name}: finds no boxes to report: leave out --report.")
        weights = choose_weights(bundle, self.parser, ensemble, {**overrides, "calibrated": calibrated})
        self.algorithm, self.weights = weights.algorithm, weights.told
        if calibrated:
            self.parser["temperature"] = bundle.temperature(weights.told["file"], self.parser)
        self._choose_outputs(format, fractional, report, keep_free_text)
        if self.names and self.needs_dicom:
            logger.warning("--names hash: files have hashed names, but DICOM outputs hold the patient's name and ID")
        if not pictures:
            written = [step for step in self.parser["outputs#transforms"] if step != "@overlays"]
            self.parser["outputs#transforms"] = written
        self.parser.parse(reset=True)  # asking for the weights' path has parsed what was there before
        # a tree may be moved, and a bundle given by name or by folder
        moved = (*places, "bundle_root", "weights")
        config = {key: value for key, value in self.parser.get().items() if key not in moved}
        if isinstance(config.get("reader"), dict):  # what decoding may take does not change what it gives
            config["reader"] = {k: v for k, v in config["reader"].items() if k not in Limits._fields}
        described = json.dumps([config, self.weights["sha256"], weights.fitted], sort_keys=True, default=str)
        self.settings = hashlib.sha256(described.encode()).hexdigest()

    def _choose_outputs(self, format: str | None, fractional: bool, report: bool, keep_free_text: bool) -> None:
        self.format = choose_format(self.bundle, format, fractional)
        keys = "probability" if fractional else self.parser["masks"]["keys"]
        chosen = FORMATS[self.format]
        if keep_free_text and not (chosen.needs_dicom or report):
            raise DataError("--keep-free-text is for DICOM outputs: add --format seg or rtstruct, or leave it out.")
        text: dict[str, Any] = {"keep_free_text": True} if keep_free_text else {}
        more: dict[str, Any] = {"fractional": True} if fractional else {}
        if chosen.needs_dicom:
            more |= text
        self.parser["masks"] = writer_of(chosen, self.bundle, self.algorithm, keys, **more)
        if report:
            settings = {"keys": "probability", "threshold": "@threshold", **text}
            self.parser["outputs#transforms"].append(writer_of(REPORT, self.bundle, self.algorithm, **settings))
        if fractional or self.bundle.finds_boxes:
            self.parser["probability_key"] = "probability"
        self.needs_dicom = chosen.needs_dicom or report

    def run(self) -> int:
        """Predict all cases.

        Returns:
            0 if all are done, now or before; 1 if some failed; 2 if nothing is done; 130 or 143 if SIGINT or SIGTERM
            stopped it.

        Raises:
            DataError: if the tree is missing, or the outputs cannot be written; or if another run writes there.
            WeightsError: if the weights do not fit.
        """
        check_writable([self.output] + ([Path(self.submission).absolute().parent] if self.submission else []))
        with locked(self.output), self.names or nullcontext():
            remove_unfinished([self.output])
            return self._run()

    def _run(self) -> int:
        records, stopped = Records(self.output, self.settings), 0
        engine = self._engine()
        index = index_images(self.input, self.parser.get_parsed_content("reader"), without=self.output)
        if self.needs_dicom:
            for case in [case for case in index.cases if not case.is_dicom]:
                index.leave_out(case, "is not a DICOM file, to which a DICOM output must refer")
        index.log_left_out()
        cohort = Cohort(index.cases, self.input, records)
        before = set(cohort.done)
        try:
            cohort.run(engine, f"predicting {self.bundle.name}", self.retry)
        except Stopped as stop:
            stopped = stop.exit_code
            logger.warning("stopped; the same command continues from here")
        names = [str(case.path) for case in index.cases]
        done = {name: cohort.done[name] for name in names if name in cohort.done}
        failed = {name: cohort.failed[name] for name in names if name in cohort.failed}
        for name in list(done):
            if lost := records.lost(done[name]):  # while others ran: what is called done is there
                del done[name]
                failed[name] = f"{lost[0]}: was removed or changed since it was written. Give the same command again."
        if self.submission and done and not stopped:
            write_submission(((name, record["boxes"]) for name, record in done.items()), self.submission)
        code = stopped if stopped else NOTHING_DONE if not done else SOME_FAILED if failed else DONE
        summary = {
            "bundle": self.bundle.name,
            "version": self.bundle.metadata["version"],
            "weights": self.weights,
            "temperature": self.parser.get("temperature"),
            "format": self.format,
            "exit_code": code,
            "cases": len(index.cases),
            "done": [
                {"case": name, "outputs": list(record["outputs"])}
                | {key: record[key] for key in CHECKED if key in record}
                for name, record in done.items()
            ],
            "done_before": len(before & done.keys()),
            "failed": [{"case": name, "error": error} for name, error in failed.items()],
            "left_out": [{"reason": why, "files": [str(f) for f in files]} for why, files in index.by_reason().items()],
        }
        with atomic_write(self.output / SUMMARY) as file:
            json.dump(summary, file, indent=2)
        self._log_end(summary)
        return code

    def _engine(self) -> Engine:
        make = partial(stages_of, self.parser.get(), Records(self.output, self.settings), self.bundle.finds_boxes)
        sizes = (self.batch_size, self.batch_size) if self.batch_size else BATCH_SIZES
        if self.bundle.is_volumetric:  # whose inferer takes batches of slices
            sizes = (1, 1)
        if self.engine == "local":
            return LocalEngine(make, self.workers or cores(), sizes)
        weights = [Path(one["file"]) for one in self.weights.get("files", [self.weights])]
        return RayEngine(make, self.output, [self.output / LOCK, *weights], self.workers, sizes, self.address)

    def _log_end(self, summary: dict[str, Any]) -> None:
        failed = summary["failed"]
        logger.info(
            "%d of %d cases done, %d of them before; %d failed; see %s",
            *(len(summary["done"]), summary["cases"], summary["done_before"], len(failed), self.output / SUMMARY),
        )
        if not summary["cases"]:
            logger.error("--input: holds no image that %s takes. Give the folder of its images.", self.bundle.name)
        warn_of_others(summary["done"])
        if failed:
            logger.error("failed:\n%s", "\n".join(f"  {case['case']}: {case['error']}" for case in failed))


def warn_of_others(done: Sequence[Mapping[str, Any]]) -> None:
    """Say which of the cases that a summary tells of may be no frontal radiographs."""
    if flagged := [case["case"] for case in done if not case.get("frontal", True)]:
        text = "%d of them may not be frontal chest radiographs, the first %s: do not trust their masks"
        logger.warning(text, len(flagged), flagged[0])


def read_summary(output_dir: os.PathLike | str) -> dict[str, Any]:
    """What ``summary.json`` of an output folder holds."""
    return json.loads((Path(output_dir) / SUMMARY).read_text(encoding="utf-8"))


def predict(bundle: Bundle, quiet: bool = False, **settings: Any) -> int:
    """Run a bundle on a tree of images: see :class:`Prediction` and :meth:`Prediction.run`.

    Args:
        bundle: what predicts.
        quiet: whether only warnings and errors are said.
        settings: of :class:`Prediction`.
    """
    logging.config.fileConfig(bundle.logging, disable_existing_loggers=False, encoding="utf-8")
    if quiet:
        logging.root.setLevel(logging.WARNING)
    return Prediction(bundle, **settings).run()
