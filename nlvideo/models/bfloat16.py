"""What bfloat16 on the CPU cannot do."""

from torch import Tensor, nn


def refuse_short_clips(net: nn.Module) -> None:
    """From now on a forward pass of `net` raises a ValueError where a convolution spans more frames than it is given.

    There the gradient of the weight is memory that nobody has written to: seen with PyTorch 2.15 (oneDNN 3.13), kernels
    of 3 frames on clips of 2 and of 5 on 4, forward and float32 being right.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            module.register_forward_pre_hook(_check_frames)


def _check_frames(conv: nn.Conv3d, args: tuple[Tensor]) -> None:
    (x,) = args
    if conv.training and x.shape[2] < conv.kernel_size[0]:
        raise ValueError(
            f"bf16 on the CPU: a convolution over {conv.kernel_size[0]} frames gets wrong gradients from PyTorch where "
            f"only {x.shape[2]} are left; use longer clips (data.clip_frames) or --trainer.precision 32-true"
        )
