"""Does cases by workers of Ray, on one machine or on many. Whichever of them end, no case is lost."""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import current_thread, main_thread
from types import TracebackType
from typing import Any

from transforms import Case, DataError
from transforms.files.atomic import remove_unfinished

from ..stopping import SIGNALS
from .flow import cores
from .local import Record, Stages
from .worker import ANSWER, CASE, NUMBER, Answer, Worker, digest_of, opened

logger = logging.getLogger(__name__)

CORES = 4  # of a worker without a GPU: more of them gain little for one model
AT_ONCE = 2  # batches in a worker: one is read or written while the other is computed
TRIES = 2  # of a batch, and then of a case alone, whose worker ends
STARTS = 3  # of Ray on this machine
SHORT = "/tmp" if os.path.isdir("/tmp") else None  # a path of sockets has 107 characters at most
PAUSE = 0.2  # seconds between two looks at what was asked for
STORE = 200 * 2**20  # bytes that Ray may keep for rows, which are paths and records
# before Ray is imported: nothing goes to its makers, and only what ends it is said beside our own messages
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
# a Ray of our own, on any system, listens at loopback alone, and not to other users
OWN = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
BY_HAND = "Start it by hand to see why: ray start --head. Then give --address auto."
DIES_AT_ONCE = "a worker of Ray ended before it had loaded the model, as when memory runs out. Give more to each: "
DIES_AT_ONCE += "fewer workers on a machine, by a larger --workers"


class RayEngine:
    """Does cases by workers of Ray: one for each GPU, or else for each few cores.

    Ray Data hands out batches, and brings records back as batches end. A batch whose worker ends is tried once more;
    if that ends too, its cases do not come back, and are to be done alone. A case that ends each worker has failed.

    Args:
        make: makes the stages; goes to the workers, pickled.
        output: the folder of the outputs.
        shared: files that must be the same on all machines.
        workers: cores of each worker; by default its GPU's part of the machine's, or four if there is no GPU.
        batch_sizes: cases in a batch, on a CPU and on a GPU.
        address: of a cluster, as Ray takes it; by default Ray is started here, for this machine and this run alone.

    Raises:
        DataError: if Ray is not installed.
    """

    ends_with_its_cases = False

    def __init__(
        self,
        make: Callable[[], Stages],
        output: Path,
        shared: Sequence[Path],
        workers: int | None,
        batch_sizes: tuple[int, int],
        address: str | None = None,
    ):
        for name, value in (QUIET if address else QUIET | OWN).items():
            os.environ.setdefault(name, value)
        try:
            import ray
            import ray.data
            from ray.util.annotations import RayDeprecationWarning
        except ImportError as error:
            missing = "--engine ray needs Ray Data, which is not installed: pip install 'radbundles[ray]'."
            raise DataError(missing) from error
        warnings.filterwarnings("ignore", category=RayDeprecationWarning)  # which is for us, and not for users
        self.ray: Any = ray
        self.make, self.output, self.shared = make, output, shared
        self.workers, self.batch_sizes, self.address = workers, batch_sizes, address
        self.only: Any = None  # the worker of single cases
        self.scratch: TemporaryDirectory | None = None  # Ray's logs and sockets, which nobody else may read

    def __enter__(self) -> RayEngine:
        """Start Ray, or go to its cluster.

        Raises:
            DataError: if there is no cluster, or no machine of it has what a worker needs.
        """
        settings: dict[str, Any] = {"address": self.address}
        if self.address is None:
            settings = {"address": "local", "num_cpus": cores(), "object_store_memory": STORE}
            self.scratch = TemporaryDirectory(prefix="ray", dir=SHORT, ignore_cleanup_errors=True)
            settings |= {"include_dashboard": False, "_temp_dir": self.scratch.name}
        self.thread = ThreadPoolExecutor(1)
        try:
            self._start(partial(self.ray.init, log_to_driver=False, logging_level=logging.ERROR, **settings))
            self._plan()
        except BaseException:
            self._stop()
            raise
        return self

    def _start(self, start: Callable[[], Any]) -> None:
        """Start Ray from a thread that stays, with which it ends: from the main one it would take over SIGTERM.

        On a busy machine Ray gives up when its processes take longer than the 15 seconds that it allows.
        """
        for tries_left in range(1 if self.address else STARTS, 0, -1):
            try:
                self.thread.submit(start).result()
                _keep_signals()
                return
            except Exception as error:  # of any kind, and with a text for those who know Ray
                if tries_left == 1:
                    raise DataError(f"Ray cannot be used{self._where()}: {error} {BY_HAND}") from error
                self.ray.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        remove_unfinished([self.output])  # of workers that were killed

    def _stop(self) -> None:
        self.ray.shutdown()
        self.thread.shutdown()
        if self.scratch is not None:
            self.scratch.cleanup()

    def alone(self, case: Case, check: Callable[[], None]) -> Record:
        """As :meth:`pipelines.engines.local.Engine.alone`; a case that ends its worker has failed."""
        for _ in range(TRIES):
            worker = self._only(check)
            try:
                (answer,) = self._wait(worker.do.remote([case]), check)
            except self.ray.exceptions.RayError:
                self._let_go()
            else:
                return opened(answer)
        return {"status": "failed", "error": f"ended its worker {TRIES} times, as what needs too much memory does"}

    def each(self, cases: Iterable[Case], check: Callable[[], None]) -> Iterator[tuple[Case, Record]]:
        """As :meth:`pipelines.engines.local.Engine.each`, in the order in which they end."""
        cases = list(cases)
        if not cases:
            return
        self._let_go()
        for number, answer in self._answers(cases, check):
            yield cases[number], opened(answer)

    def _plan(self) -> None:
        """Find how many workers there can be, and what each needs."""
        have = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        have = [{name: int(node.get(name, 0)) for name in ("CPU", "GPU")} for node in have]
        with_gpu = [node for node in have if node["GPU"] and node["CPU"]]
        if with_gpu:
            each = self.workers or max(1, min(node["CPU"] // node["GPU"] for node in with_gpu))
            self.number = sum(min(node["GPU"], node["CPU"] // each) for node in with_gpu)
        else:
            each = self.workers or min([CORES, *(node["CPU"] for node in have if node["CPU"])])
            self.number = sum(node["CPU"] // each for node in have)
        if not self.number:
            most = max((node["CPU"] for node in with_gpu or have), default=0)
            raise DataError(f"no machine{self._where()} has {each} cores for a worker: give --workers {most} or fewer.")
        self.batch_size = self.batch_sizes[bool(with_gpu)]
        self.needs = {"num_cpus": each, "num_gpus": int(bool(with_gpu))}
        shared = {path: digest_of(path) for path in self.shared if path.is_file()}
        self.arguments = (self.make, Path.cwd(), self.output, shared, each)
        gpu = " and a GPU" * bool(with_gpu)
        logger.info("workers of Ray%s: %d, each of %d cores%s", self._where(), self.number, each, gpu)

    def _where(self) -> str:
        return f" at {self.address}" if self.address else ""

    def _answers(self, cases: Sequence[Case], check: Callable[[], None]) -> Iterator[tuple[int, Answer]]:
        data = self.ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1  # what does not come back is done alone
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        rows = [{NUMBER: number, CASE: pickle.dumps(case)} for number, case in enumerate(cases)]
        batches = data.from_items(rows, override_num_blocks=-(-len(rows) // self.batch_size))
        del rows
        ended = batches.map_batches(
            Worker,
            fn_constructor_args=self.arguments,
            batch_size=None,  # a block is a batch
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(
                size=min(self.number, batches.num_blocks()),
                max_concurrent_calls_per_actor=AT_ONCE,
                enable_true_multi_threading=True,
            ),
            max_restarts=-1,
            max_task_retries=TRIES - 1,
            **self.needs,
        )
        tables = iter(ended.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        with closing(tables):  # or Ray Data works on while Ray ends
            for table in tables:
                yield from ((row[NUMBER], pickle.loads(row[ANSWER])) for row in table.to_pylist())
                check()

    def _only(self, check: Callable[[], None]) -> Any:
        """The worker of single cases.

        Raises:
            DataError: if it cannot work.
        """
        if self.only is None:
            self.only = self.ray.remote(**self.needs)(Worker).remote(*self.arguments)
            try:
                ready = self._wait(self.only.ready.remote(), check)
            except self.ray.exceptions.RayError as error:
                raise DataError(f"{DIES_AT_ONCE}.") from error
            if ready:
                opened(ready)
        return self.only

    def _let_go(self) -> None:
        """End the worker of single cases, so that others have its place."""
        if self.only is not None:
            self.ray.kill(self.only)
            self.only = None

    def _wait(self, reference: Any, check: Callable[[], None]) -> Any:
        while not self.ray.wait([reference], timeout=PAUSE)[0]:
            check()
        return self.ray.get(reference)


def _keep_signals() -> None:
    """Ray handles signals by a trace of its own before those see them who handled them before: not any more."""
    if current_thread() is main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.getsignal(number))
