"""Parameters, gradients and optimiser state shared out over processes: ``--trainer.strategy fsdp``.

Lightning's FSDPStrategy flattens parameters, which hides the shapes by which weight decay is given. Its
ModelParallelStrategy leaves out SyncBatchNorm, and numbers the optimiser's states otherwise than an ordinary
checkpoint. This one is DDPStrategy with torch's fully_shard (FSDP2) in the place of DistributedDataParallel.
"""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from nlvideo.checkpoint import build
from nlvideo.models import Backbone


def resolve_strategy(given: Any) -> Any:
    """What Trainer gets for ``trainer.strategy``: a `Sharded` for "fsdp", and else what was given.

    Raises:
        ValueError: it is another one that shards.
    """
    if given == "fsdp":
        return Sharded()
    name = (given if isinstance(given, str) else type(given).__name__).lower()
    if any(sharded in name for sharded in ("fsdp", "deepspeed", "modelparallel", "model_parallel")):
        raise ValueError(
            f"trainer.strategy {given}: not supported; use fsdp, which shares out parameters, gradients and optimiser, "
            "or ddp, where each process holds them all"
        )
    return given


class Sharded(DDPStrategy):
    """Shards the network for a training; an evaluation goes as with ddp. Checkpoints are whole, as those of one
    process, and either goes on from the other's."""

    def configure_ddp(self) -> None:
        shard(self.lightning_module.net, init_device_mesh(self.root_device.type, (self.world_size,)))

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return whole(super().optimizer_state(optimizer))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        # Each process has read the whole file, and cuts out its own part.
                        mesh, placements = parameter.device_mesh, parameter.placements
                        state[name] = distribute_tensor(value.contiguous(), mesh, placements, src_data_rank=None)


def shard(net: Backbone, mesh: DeviceMesh) -> None:
    """In place: each residual block is gathered where it is computed, and stem and head together. Parameters become
    DTensors of the same names and shapes. A collective call; all start with the weights of the first process.

    Args:
        mesh: the processes, in one dimension.
    """
    net.to(memory_format=torch.contiguous_format)  # fully_shard takes no other; the clips may be channels last
    for tensor in net.state_dict().values():
        distributed.broadcast(tensor, src=0)
    for part in net.stages().values():
        for block in getattr(part, "res_blocks", []):
            fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)


def whole(state: dict[str, Any]) -> dict[str, Any]:
    """The same with whole tensors in the place of sharded ones. A collective call."""
    return tree_map_only(DTensor, lambda tensor: tensor.full_tensor(), state)


def whole_copy(net: Backbone) -> Backbone:
    """A sharded network as an ordinary one, in eval mode: processes may then run it as often as each needs. A
    collective call; the statistics of batch norms become those of the first process, as in its checkpoints."""
    for buffer in net.buffers():
        distributed.broadcast(buffer, src=0)
    with torch.device("meta"):
        copy = build(net.config())
    copy.load_state_dict(whole(net.state_dict()), assign=True)
    return copy.eval().requires_grad_(False).to(memory_format=torch.channels_last_3d)
