"""Several processes of one training, started by `torchrun`."""

from __future__ import annotations

from datetime import timedelta

import ignite.distributed as idist
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class ProcessGroup:
    """The process group of a run: NCCL on CUDA, gloo on CPU.

    Args:
        device: of this process.
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)

    def start(self) -> None:
        """Join the group; first item of the run."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        # The others wait while the first process encodes a cohort, longer than the default of minutes.
        distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=timedelta(hours=24))
        # ignite forms a group of its own at first use, which all processes have to join; here they all do.
        idist.sync()

    def stop(self) -> None:
        """Wait for the others and leave."""
        distributed.barrier()
        distributed.destroy_process_group()


def wrap(module: nn.Module, device: str | torch.device) -> DistributedDataParallel:
    """A module on its device, with gradients averaged over the processes."""
    device = torch.device(device)
    return DistributedDataParallel(module, device_ids=[device.index] if device.type == "cuda" else None)
