"""Runs a bundle on a tree of images case by case: a failure is noted and skipped, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import logging
import logging.config
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from monai.networks.utils import eval_mode

from networks import WeightsError
from transforms import Case, DataError, DiskError, check_writable, index_images, mask_to_boxes, plain_error
from transforms.files.atomic import atomic_write, remove_unfinished
from transforms.files.lock import locked
from transforms.files.worker import Limits

from ..bundle import Bundle
from ..stopping import Steps, Stopped
from .formats import FORMATS, REPORT, choose_format, writer_of
from .names import HashedNames
from .records import Records
from .submission import write_submission

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
NEVER_ENDED = "an earlier run ended in this case. Give --retry to try it again"
DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2  # exit codes


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
        retry: whether to try cases again in which an earlier run ended, and which are passed over otherwise.
        keep_free_text: whether DICOM outputs keep all of the patient and the study that the image says, see
            :func:`pipelines.dicom.source.read_source`.
        hide_names: whether cases go by a keyed hash in outputs, log and records, see
            :class:`pipelines.prediction.names.HashedNames`.
        pictures: whether to write overlays, the pictures of masks laid over their images.
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
        retry: bool = False,
        keep_free_text: bool = False,
        hide_names: bool = False,
        pictures: bool = True,
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
        places = {"dataset_dir": str(self.input), "output_dir": str(self.output)}
        self.parser = bundle.read(["inference", *overlays], **places, **overrides)
        if submission and not bundle.finds_boxes:
            raise DataError(f"{bundle.name}: has no submission: leave out --submission, which is for boxes.")
        if report and not bundle.finds_boxes:
            raise DataError(f"{bundle.name}: finds no boxes to report: leave out --report.")
        weights = Path(self.parser.get_parsed_content("weights"))
        if not weights.is_file():
            raise WeightsError(f"{weights}: no such file. Train first, or give the file of another training.")
        self.algorithm = bundle.algorithm(weights)
        self.weights = {"file": str(weights), "sha256": self.algorithm.weights}
        self._choose_outputs(format, fractional, report, keep_free_text)
        if not pictures:
            written = [step for step in self.parser["outputs#transforms"] if step != "@overlays"]
            self.parser["outputs#transforms"] = written
        self.parser.parse(reset=True)  # asking for the weights' path has parsed what was there before
        # a tree may be moved, and a bundle given by name or by folder
        moved = (*places, "bundle_root", "weights")
        config = {key: value for key, value in self.parser.get().items() if key not in moved}
        if isinstance(config.get("reader"), dict):  # what decoding may take does not change what it gives
            config["reader"] = {k: v for k, v in config["reader"].items() if k not in Limits._fields}
        described = json.dumps([config, self.weights["sha256"]], sort_keys=True, default=str)
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
        parse = self.parser.get_parsed_content
        parse("initialize")
        index = index_images(self.input, parse("reader"), without=self.output)
        if self.needs_dicom:
            for case in [case for case in index.cases if not case.is_dicom]:
                index.leave_out(case, "is not a DICOM file, to which a DICOM output must refer")
        index.log_left_out()
        self.load, self.postprocess, self.write = (parse(k) for k in ("preprocessing", "postprocessing", "outputs"))
        self.network, self.inferer, self.device = parse("network_def"), parse("inferer"), parse("device")
        self.records, stopped = Records(self.output, self.settings), 0
        done: dict[str, dict[str, Any]] = {}
        failed: dict[str, str] = {}
        before = set()
        start, computed = time.monotonic(), 0
        try:
            for number, case in enumerate(Steps().each(index.cases), start=1):
                name, key = str(case.path), str(case.path.relative_to(self.input))
                record = self.records.done(key, case.identity)
                if record is not None:
                    done[name] = record
                    before.add(name)
                    continue
                if self.records.never_ended(key, case.identity) and not self.retry:
                    failed[name] = NEVER_ENDED
                    logger.warning("[%d/%d] %s: passed over: %s", number, len(index.cases), name, NEVER_ENDED)
                    continue
                with self.records.started(key, case.identity):
                    record = self._predict(case)
                computed += 1
                self.records.append(key, case.identity, record)
                if record["status"] == "done":
                    done[name] = record
                    said = f"done in {record['seconds']:.1f} s"
                else:
                    failed[name] = record["error"]
                    said = f"FAILED: {record['error']}"
                left = (time.monotonic() - start) / computed * (len(index.cases) - number)
                logger.info("[%d/%d, %.0f s left] %s: %s", number, len(index.cases), left, name, said)
        except Stopped as stop:
            stopped = stop.exit_code
            logger.warning("stopped; the same command continues from here")
        for name in list(done):
            if lost := self.records.lost(done[name]):  # while others ran: what is called done is there
                del done[name]
                failed[name] = f"{lost[0]}: was removed or changed since it was written. Give the same command again."
        if self.submission and done and not stopped:
            write_submission(((name, record["boxes"]) for name, record in done.items()), self.submission)
        code = stopped if stopped else NOTHING_DONE if not done else SOME_FAILED if failed else DONE
        summary = {
            "bundle": self.bundle.name,
            "version": self.bundle.metadata["version"],
            "weights": self.weights,
            "format": self.format,
            "exit_code": code,
            "cases": len(index.cases),
            "done": [{"case": name, "outputs": list(record["outputs"])} for name, record in done.items()],
            "done_before": len(before & done.keys()),
            "failed": [{"case": name, "error": error} for name, error in failed.items()],
            "left_out": [{"reason": why, "files": [str(f) for f in files]} for why, files in index.by_reason().items()],
        }
        with atomic_write(self.output / SUMMARY) as file:
            json.dump(summary, file, indent=2)
        self._log_end(summary)
        return code

    def _predict(self, case: Case) -> dict[str, Any]:
        """Do one case. Returns how it ended."""
        record: dict[str, Any] = {}
        start = time.monotonic()
        try:
            data = self.load({"image": case.image, "sources": [str(path) for path in case.files]})
            with eval_mode(self.network):
                image = data["image"].to(self.device)
                data |= {"image": image, "pred": self.inferer(image[None], self.network)[0]}
            data = self.write(self.postprocess(data))
            if self.bundle.finds_boxes:
                probability, threshold = data["probability"][0], self.parser.get_parsed_content("threshold")
                record["boxes"] = mask_to_boxes(np.asarray(probability.cpu()), threshold)
            outputs = self.records.describe(data["written"])
        except Exception as error:
            plain = plain_error(error)
            if isinstance(plain, DiskError):  # the next case's outputs will not be written either
                raise plain from None
            logger.debug("%s", case.path, exc_info=error)
            text = str(plain).removeprefix(f"{case.path}: ") if plain else f"{type(error).__name__}: {error}"
            return {"status": "failed", "error": text.strip().split("\n")[0]}
        seconds = round(time.monotonic() - start, 2)
        return {"status": "done", "seconds": seconds, "outputs": outputs, **record}

    def _log_end(self, summary: dict[str, Any]) -> None:
        failed = summary["failed"]
        logger.info(
            "%d of %d cases done, %d of them before; %d failed; see %s",
            *(len(summary["done"]), summary["cases"], summary["done_before"], len(failed), self.output / SUMMARY),
        )
        if failed:
            logger.error("failed:\n%s", "\n".join(f"  {case['case']}: {case['error']}" for case in failed))


def predict(bundle: Bundle, **settings: Any) -> int:
    """Run a bundle on a tree of images: see :class:`Prediction` and :meth:`Prediction.run`."""
    logging.config.fileConfig(bundle.logging, disable_existing_loggers=False)
    return Prediction(bundle, **settings).run()
