"""Lightning's Trainer with one way for a training to end, whichever limit ends it."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import lightning
import torch
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn


class Trainer(lightning.Trainer):
    """Lightning's Trainer, which reaches `max_steps` as it reaches `max_time`: the training is told to stop.

    Lightning's own `max_steps` puts its loops into another mode, in which a run cannot go on from the end of an epoch.

    Args:
        max_epochs: Stop after so many epochs; -1 is without limit. null is -1 if `max_steps` is given, else 1000.
        max_steps: Stop after so many steps of the optimizer; -1 is without limit.
        limit_train_batches: So many batches an epoch (a whole number), or this share of them (as in 0.1).
        limit_val_batches: The same of a validation; 0 leaves it out.
        limit_test_batches: The same of a test.
    """

    # Lightning's own annotations of the limits may come out as float | int, and 1 as 1.0, which is all: typing keeps
    # one of both orders, whichever was there first in this process.
    def __init__(
        self,
        *,
        max_epochs: int | None = None,
        max_steps: int = -1,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        **kwargs: Any,
    ):
        for name, limit in (("max_epochs", max_epochs), ("max_steps", max_steps)):
            if limit == 0:
                raise ValueError(f"trainer.{name}: expected at least 1, or -1 for no limit, got 0")
        if max_epochs is None:
            max_epochs = 1000 if max_steps == -1 else -1
        super().__init__(
            max_epochs=max_epochs,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            **kwargs,
        )
        self.step_limit = float("inf") if max_steps == -1 else max_steps

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Steps of the optimizer until the first limit that can be known beforehand."""
        return min(self.step_limit, super().estimated_stepping_batches)


def is_last_step(trainer: lightning.Trainer) -> bool:
    """Return whether the training ends with the step that was just taken."""
    ends_last_epoch = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
    return ends_last_epoch or trainer.should_stop or trainer.global_step >= trainer.estimated_stepping_batches


def stops_early(trainer: lightning.Trainer) -> bool:
    """Return whether a callback may end the training after a validation, which nobody can know before it."""
    return any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)


def check_devices(config: Mapping[str, Any]) -> None:
    """Raise ValueError if the settings of a Trainer ask for a GPU and there is none; warn of more processes than cores.

    More processes than cores work, slowly.
    """
    accelerator, devices = config["accelerator"], config["devices"]
    has_gpu = CUDAAccelerator.is_available() or (accelerator != "cuda" and MPSAccelerator.is_available())
    if accelerator in ("gpu", "cuda") and not has_gpu:
        raise ValueError(
            f"trainer.accelerator {accelerator}: PyTorch {torch.__version__} finds no GPU here; expected cpu or auto"
        )
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    cores = os.cpu_count() or 1
    if on_cpu and str(devices).isdecimal() and int(devices) > cores:
        rank_zero_warn(
            f"trainer.devices {devices}: more processes than the {cores} cores here; expected at most {cores}"
        )


def set_speed(config: dict[str, Any]) -> None:
    """Fill in what a training's configuration leaves open with what is fastest on its device.

    On a GPU: bfloat16 mixed precision if it computes in it, TensorFloat32 for float32 matrix products, and cuDNN's
    search for the fastest convolutions, since all clips of a training have the same size.
    """
    on_gpu = config["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if config["precision"] is None:
        config["precision"] = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    if on_gpu:
        torch.set_float32_matmul_precision("high")
        if config["benchmark"] is None and not config["deterministic"]:
            config["benchmark"] = True


def with_timeout(config: dict[str, Any], timeout: timedelta) -> Any:
    """Return the strategy of a Trainer's settings, with a timeout for processes that wait for each other.

    A strategy that the configuration builds itself has its own.
    """
    strategy = config["strategy"]
    if strategy == "ddp" or (strategy == "auto" and _has_several_processes(config)):
        return DDPStrategy(timeout=timeout)
    return strategy


def _has_several_processes(config: dict[str, Any]) -> bool:
    devices, accelerator = config["devices"], config["accelerator"]
    if config["num_nodes"] > 1 or int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return True
    on_gpu = accelerator in ("auto", "gpu", "cuda") and CUDAAccelerator.is_available()
    if devices in ("auto", -1, "-1"):
        return on_gpu and CUDAAccelerator.auto_device_count() > 1
    parsed = (CUDAAccelerator if on_gpu else CPUAccelerator).parse_devices(devices)
    return (len(parsed) if isinstance(parsed, list) else parsed or 1) > 1
