"""The cases of one run, and what becomes of them: done before, done now, failed, or left for the next run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transforms import Case, counted, is_watched

from ..engines.local import Engine
from ..stopping import Steps
from .records import Records

logger = logging.getLogger(__name__)

NEVER_ENDED = "an earlier run ended in this case. Give --retry to try it again"
LOST = "the workers of %d cases ended: each is done again, alone"


class Cohort:
    """Cases that are done by an engine, with a record and a line in the log for each.

    Args:
        cases: all there are.
        root: the folder that they are in.
        records: what was done before, and what is done now.

    Attributes:
        done: records of those that are done, by the case's path.
        failed: why the others failed.
    """

    def __init__(self, cases: Sequence[Case], root: Path, records: Records):
        self.cases, self.root, self.records = cases, root, records
        self.places = {case.path: f"{place}/{len(cases)}" for place, case in enumerate(cases, start=1)}
        self.done: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        for case in cases:
            record = records.done(self._key(case), case.identity)
            if record is not None:
                self.done[str(case.path)] = record

    def run(self, engine: Engine, what: str, retry: bool) -> None:
        """Do what is not done.

        First come those in which an earlier run may have ended: one by one, so that the next time it is known. So are,
        in the end, those whose workers have ended.

        Args:
            engine: what does them.
            what: is done, for the progress that is shown.
            retry: whether to try those again in which an earlier run has ended.

        Raises:
            Stopped: if a signal has asked for the end; what was begun is done, or is done by the next run.
        """
        todo = [case for case in self.cases if not self._is_over(case)]
        if not todo:
            return
        self.ended_before, self.watched = len(self.done), is_watched()
        show = counted(len(todo), what, "image", lines=False)  # each has a line of its own
        with Steps() as steps, engine, show as self.count:
            self.start, others = time.monotonic(), []
            for case in todo:
                steps.check()
                key = self._key(case)
                if self.records.never_ended(key, case.identity) and not retry:
                    self.failed[str(case.path)] = NEVER_ENDED
                    logger.warning("[%s] %s: passed over: %s", self.places[case.path], case.path, NEVER_ENDED)
                elif self.records.is_started(key, case.identity):
                    self._alone(case, engine, steps)
                else:
                    others.append(case)
            for case, record in engine.each(self._begun(others, engine, steps), steps.check):
                self._end(case, record)
            lost = [case for case in others if not self._is_over(case)]
            if lost:
                logger.warning(LOST, len(lost))
            for case in lost:
                steps.check()
                self._alone(case, engine, steps)

    def _key(self, case: Case) -> str:
        return case.path.relative_to(self.root).as_posix()

    def _is_over(self, case: Case) -> bool:
        return str(case.path) in self.done or str(case.path) in self.failed

    def _alone(self, case: Case, engine: Engine, steps: Steps) -> None:
        with self.records.alone(self._key(case), case.identity):
            record = engine.alone(case, steps.check)
        self._end(case, record)

    def _begun(self, cases: Iterable[Case], engine: Engine, steps: Steps) -> Iterator[Case]:
        for case in cases:
            steps.check()
            if engine.ends_with_its_cases:
                self.records.start(self._key(case), case.identity)
            yield case

    def _end(self, case: Case, record: dict[str, Any]) -> None:
        self.records.append(self._key(case), case.identity, record)
        self.count()
        if record["status"] == "done":
            self.done[str(case.path)] = record
            said, level = f"done in {record['seconds']:.1f} s", logging.DEBUG if self.watched else logging.INFO
        else:
            self.failed[str(case.path)] = record["error"]
            said, level = f"FAILED: {record['error']}", logging.WARNING
        ended = len(self.done) + len(self.failed)
        seconds = (time.monotonic() - self.start) / (ended - self.ended_before) * (len(self.places) - ended)
        logger.log(level, "[%s, %.0f s left] %s: %s", self.places[case.path], seconds, case.path, said)
