"""Several processes, one to a GPU, that train one model together, as torch's launcher `torchrun` starts them.

Each rank learns from its share of every batch; losses, normalisation and gradients are those of the whole
batch, so that a recipe means the same on any number of GPUs, and a run may go on with another number. The
lead, rank 0, alone validates, writes checkpoints and reports. A process that nobody launched so is one rank.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data._utils.worker import WorkerInfo

from services.errors import InputError

#: For how long ranks wait for one another: the lead validates while the others wait.
_PATIENCE: Final = timedelta(hours=2)


class UnevenBatchError(InputError):
    """The batch cannot be shared out evenly."""

    slug = "uneven-batch"
    title = "The batch cannot be shared among the GPUs"


@dataclass(frozen=True)
class Ranks:
    """Where this process stands among those that train together.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        device: what this process computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process validates, writes checkpoints and reports."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """How many of a batch's examples are this rank's.

        Raises:
            UnevenBatchError: they cannot be shared out evenly.
        """
        if batch % self.world:
            raise UnevenBatchError(
                f"A batch of {batch} cannot be shared evenly among {self.world} GPUs.",
                remedy="Take a number of GPUs that divides the recipe's batch, or another batch.",
            )
        return batch // self.world

    def stream(self, worker: WorkerInfo | None) -> int:
        """The number of a stream of examples, another one for each rank's every loading process."""
        return self.rank * worker.num_workers + worker.id if worker else self.rank

    def together(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all ranks; its weights become the lead's."""
        if self.world == 1:
            return network
        return DistributedDataParallel(network, forward_sync_buffers=False)

    def wait(self) -> None:
        """Wait for all ranks to come here."""
        if self.world > 1:
            distributed.barrier()

    def agreed(self, decision: bool) -> bool:
        """The lead's decision, on every rank: where clocks decide, ranks would differ."""
        if self.world == 1:
            return decision
        told = torch.tensor(float(decision), device=self.device)
        distributed.broadcast(told, src=0)
        return bool(told)


#: A process that trains alone, on the CPU.
ALONE: Final = Ranks(0, 1, torch.device("cpu"))


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Join the processes that torch's launcher started; alone where it started none.

    Each takes the GPU of its number on its machine; without GPUs, the CPU.
    """
    gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(0, 1, device)
        return
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


def _world() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


class _Mean(torch.autograd.Function):
    """The mean over ranks of a tensor that each has; gradients are those of the sum of all ranks' losses."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return _mean(grad)


def _mean(value: Tensor) -> Tensor:
    total = value.contiguous().clone()
    distributed.all_reduce(total)
    return total / _world()


@torch.no_grad()
def counted(count: Any) -> Any:
    """What a rank divides a sum by to have its part of the mean over the whole batch.

    The mean over ranks of sum / counted(count) is the sum of all sums over the sum of all counts.

    Args:
        count: of the rank's own examples, a tensor or a number; together they count as at least 1.
    """
    if _world() == 1:
        return count.clamp(min=1) if isinstance(count, Tensor) else max(1, count)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None
    total = torch.as_tensor(count, dtype=torch.float32, device=device).clone()
    distributed.all_reduce(total)
    return total.clamp(min=1) / _world()


def batch_norm(
    inputs: Tensor,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor,
    shift: Tensor,
    training: bool,
    momentum: float,
    epsilon: float,
) -> Tensor:
    """Batch normalisation as torch's own of this name, over the whole batch of all ranks.

    (torch's `SyncBatchNorm` does the same, on GPUs alone: what runs there could not be tested elsewhere.)

    Args:
        inputs: [N, C, ...], as many on every rank.
        mean, variance: running ones, [C]; changed in training.
        scale, shift: [C].
        training: whether to normalise by the batch's own mean and variance.
        momentum: how far the running ones move to the batch's.
        epsilon: added to the variance.
    """
    if not training or _world() == 1:
        return nn.functional.batch_norm(inputs, mean, variance, scale, shift, training, momentum, epsilon)
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    values = inputs.float()
    own_variance, own_mean = torch.var_mean(values, axes, correction=0)
    batch_mean = _Mean.apply(own_mean)
    batch_variance = _Mean.apply(own_variance + (own_mean - batch_mean) ** 2)
    count = inputs.numel() // inputs.shape[1] * _world()
    with torch.no_grad():
        mean.lerp_(batch_mean.to(mean.dtype), momentum)
        variance.lerp_((batch_variance * count / (count - 1)).to(variance.dtype), momentum)
    factor = scale * torch.rsqrt(batch_variance + epsilon)
    around = [1, -1, *[1] * (inputs.ndim - 2)]
    normalised = values * factor.view(around) + (shift - batch_mean * factor).view(around)
    return normalised.to(inputs.dtype)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, over the whole batch of all ranks."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise."""
        if not self.training or _world() == 1:
            return super().forward(inputs)
        self.num_batches_tracked.add_(1)
        mean, variance = self.running_mean, self.running_var
        return batch_norm(inputs, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)
