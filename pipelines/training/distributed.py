"""One training by several processes: how they are joined, and what they must agree on.

Each has a device, a share of every batch and a copy of the network; torch's DistributedDataParallel keeps the copies
the same. Knows no task.
"""

from __future__ import annotations

import gc
import logging
import os
from datetime import timedelta

import torch
from ignite import distributed as idist
from ignite.engine import Events
from monai.engines import Workflow
from torch import distributed as dist
from torch import nn

from transforms import DataError

logger = logging.getLogger(__name__)

# The others wait while the first draws phantoms or fills the cache. If it dies, torchrun ends them without a timeout.
LONGEST_WAIT = timedelta(days=1)


def join_processes() -> None:
    """Join the processes that torchrun started: by NCCL where there are GPUs, one each, else by gloo.

    From here on only the first process logs what is not an error.

    Raises:
        DataError: if torchrun did not start this process, or there are more processes than GPUs.
    """
    if not dist.is_torchelastic_launched():
        raise DataError(
            "multi_gpu_train.json is for several processes. Start them with torchrun --standalone --nnodes=1 "
            "--nproc_per_node=N -m monai.bundle run ..., or leave it out of --config_file."
        )
    gpus, number = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if gpus:
        if number >= gpus:
            raise DataError(f"{os.environ['LOCAL_WORLD_SIZE']} processes for {gpus} GPUs: give --nproc_per_node {gpus}")
        torch.cuda.set_device(number)
    dist.init_process_group("nccl" if gpus else "gloo", timeout=LONGEST_WAIT)
    if idist.get_rank() > 0:  # the first call of ignite's, in which all processes must take part
        logging.getLogger().setLevel(logging.ERROR)


def share_of_batch(global_batch_size: int) -> int:
    """What each process takes of a batch, where the number of processes may change while the batch should not.

    Args:
        global_batch_size: images a step, of all processes together.

    Returns:
        images a step of each process, at least one: the share rounded, with a warning if the processes do not divide
        the batch.
    """
    processes = idist.get_world_size()
    share = max(1, round(global_batch_size / processes))
    if share * processes != global_batch_size:
        logger.warning(
            "a batch of %d for %d processes: %d for each, so %d in all. Give a --global_batch_size that all "
            "numbers of processes divide, so that each trains alike",
            *(global_batch_size, processes, share, share * processes),
        )
    return share


def release(network: nn.parallel.DistributedDataParallel) -> None:
    """Release what a network communicates by, at the end: it cannot be used after that.

    ``destroy_process_group`` ends gloo's threads only if nothing else holds the group. A thread that is left when
    Python ends sometimes aborts its process, with all work done, and torchrun then ends the others.

    Args:
        network: its ``module`` stays as it is.
    """
    vars(network).clear()
    gc.collect()


def synchronise_batch_norm(network: nn.Module) -> nn.Module:
    """Let batch norm take its statistics over the batches of all processes. Works in place.

    Args:
        network: on its device. torch can do this on GPUs alone; on a CPU each process normalises by its own batch.

    Returns:
        ``network``; the names in its state dict stay as they are.
    """
    on_gpu = next(network.parameters()).is_cuda
    return nn.SyncBatchNorm.convert_sync_batchnorm(network) if on_gpu else network


class Agreement:
    """Handler of a trainer, its first: what all processes log and validate is the same.

    After each iteration ``loss`` in the engine's output is the mean over the processes, whose batches are of one size,
    and so the loss of the global batch. After each epoch the validated network's buffers are those of the first
    process: without synchronised batch norm each has statistics of its own, and averaged weights have them anyway,
    since DistributedDataParallel does not know them.

    Args:
        validated: the network that is validated.
    """

    def __init__(self, validated: nn.Module):
        self.validated = validated

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def iteration_completed(self, engine: Workflow) -> None:
        loss = idist.all_reduce(float(engine.state.output[0]["loss"])) / idist.get_world_size()
        for item in engine.state.output:
            item["loss"] = loss

    def epoch_completed(self, engine: Workflow) -> None:
        for buffer in self.validated.buffers():
            dist.broadcast(buffer, src=0)
