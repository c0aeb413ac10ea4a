"""The optimizer, its parameter groups, and the learning-rate schedule.

In a run that goes on, the position is the checkpoint's and every setting the configuration's.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.lr_scheduler import LambdaLR

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)  # _NormBase: batch norms and instance norms, synchronised ones too


@dataclass(frozen=True)
class Optimizer:
    """The optimizer and its settings.

    Parameters are in three groups: ``norms``, the scales and shifts of normalisation layers; ``biases``, every other
    parameter of at most one dimension, learned scalars included; ``weights``, the rest. video-nonlocal-net and SlowFast
    decay biases, mmaction2 norms too.

    Attributes:
        name: ``sgd`` or ``adamw``.
        lr: base learning rate, which the schedule multiplies.
        base_batch: the total batch that `lr` is meant for. The learning rate then follows the batch that a step really
            sees, over all processes and accumulated batches: lr * batch / base_batch (Goyal et al. 2017, the linear
            rule). null takes `lr` as it is.
        momentum: of sgd.
        nesterov: Nesterov's form of sgd's momentum. Without momentum it has no effect.
        weight_decay: of the weights.
        decay_biases: apply weight decay to biases too.
        decay_norms: apply weight decay to normalisation layers too.
        fused: one kernel for the whole step. null: on CUDA, unless gradients are clipped in mixed precision;
            elsewhere PyTorch chooses.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    base_batch: int | None = None
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    decay_biases: bool = False
    decay_norms: bool = False
    fused: bool | None = None

    def __post_init__(self):
        if self.base_batch is not None and self.base_batch < 1:
            raise ValueError(f"optimizer.base_batch: expected at least 1 clip, or null, got {self.base_batch}")

    def scaled_lr(self, batch: int) -> float:
        """Return the learning rate of a step of `batch` clips in all."""
        return self.lr if self.base_batch is None else self.lr * batch / self.base_batch

    def build(self, module: nn.Module, batch: int, *, clips_in_mixed_precision: bool = False) -> torch.optim.Optimizer:
        """Return the optimizer of a module's trained parameters, for steps of `batch` clips in all.

        Raise ValueError if `fused` is set and gradients are clipped in mixed precision: a fused optimizer unscales
        them itself, too late for the clipping.
        """
        if self.fused and clips_in_mixed_precision:
            raise ValueError(
                "optimizer.fused and trainer.gradient_clip_val do not go together in mixed precision, where a fused "
                "optimizer unscales the gradients itself; leave one of them out"
            )
        groups = self.parameter_groups(module)
        on_cuda = all(p.device.type == "cuda" for group in groups for p in group["params"])
        fused = True if self.fused is None and on_cuda and not clips_in_mixed_precision else self.fused
        options = {"lr": self.scaled_lr(batch), "fused": fused}
        if self.name == "adamw":
            return torch.optim.AdamW(groups, **options)
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.nesterov and self.momentum > 0, **options)

    def parameter_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Return the groups ``weights``, ``biases`` and ``norms`` of the trained parameters, without empty ones."""
        of_norms = {id(p) for m in module.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
        groups = {
            "weights": {"params": [], "weight_decay": self.weight_decay},
            "biases": {"params": [], "weight_decay": self.weight_decay if self.decay_biases else 0.0},
            "norms": {"params": [], "weight_decay": self.weight_decay if self.decay_norms else 0.0},
        }
        for parameter in module.parameters():
            if parameter.requires_grad:
                name = "norms" if id(parameter) in of_norms else "biases" if parameter.ndim <= 1 else "weights"
                groups[name]["params"].append(parameter)
        return [{"name": name, **group} for name, group in groups.items() if group["params"]]


@dataclass(frozen=True)
class Schedule:
    """The learning rate over a run, as a multiple of the optimizer's, step by step.

    ::

        cosine      /--.__              steps      /-----.
                   /      `.                      /      |_____.
                  /         `--.__               /             |____
               warm-up                        warm-up

    The warm-up is a straight line from `warmup_start` to the value that the curve has at its end. At position e of E,
    with a warm-up of w, a cosine is

    - (1 + cos(pi (e - w) / (E - w))) / 2 with `cosine_after_warmup`, as if PyTorch's LinearLR and CosineAnnealingLR
      were chained: the warm-up reaches the learning rate that was asked for;
    - (1 + cos(pi e / E)) / 2 without, as in SlowFast, whose COSINE_AFTER_WARMUP is false unless set.

    Attributes:
        name: ``cosine`` ends at 0; ``steps`` multiplies by `factor` at each milestone.
        unit: in which `warmup` and `milestones` count: epochs, or steps of the optimizer ("iterations").
        warmup: length of the warm-up.
        warmup_start: where the warm-up starts, as a multiple of the learning rate.
        cosine_after_warmup: start the cosine when the warm-up ends.
        milestones: where ``steps`` goes down.
        factor: of each step down.
    """

    name: Literal["cosine", "steps"] = "cosine"
    unit: Literal["epochs", "steps"] = "epochs"
    warmup: float = 0.0
    warmup_start: float = 0.01
    cosine_after_warmup: bool = True
    milestones: list[float] = field(default_factory=list)
    factor: float = 0.1

    def __post_init__(self):
        if self.name == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' without milestones never steps; give some, such as milestones: [44, 88]")
        if self.name == "cosine" and self.milestones:
            raise ValueError("milestones belong to schedule 'steps'; 'cosine' has none")

    def multiplier(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Return the multiple of the learning rate at a step, from 0, of a run of `num_steps`."""
        steps_per_unit = steps_per_epoch if self.unit == "epochs" else 1
        position, end = step / steps_per_unit, num_steps / steps_per_unit
        if position < self.warmup:
            reached = self._curve(self.warmup, end)
            return self.warmup_start + (reached - self.warmup_start) * position / self.warmup
        return self._curve(position, end)

    def _curve(self, position: float, end: float) -> float:
        if self.name == "steps":
            return self.factor ** sum(position >= milestone for milestone in self.milestones)
        start = self.warmup if self.cosine_after_warmup else 0.0
        progress = (position - start) / max(end - start, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class ResumableSchedule(LambdaLR):
    """LambdaLR that restores only its position; base rates and multipliers stay those it was made with."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        multipliers = zip(self.base_lrs, self.lr_lambdas, strict=True)
        self._last_lr = [base * multiplier(self.last_epoch) for base, multiplier in multipliers]
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr


def keep_settings(optimizer: torch.optim.Optimizer) -> None:
    """Make `optimizer` restore only what it has gathered (momenta, step counts), not its settings."""
    optimizer.register_load_state_dict_pre_hook(_with_own_settings)


def _with_own_settings(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    saved_groups = state_dict["param_groups"]
    saved, given = ([group["name"] for group in groups] for groups in (saved_groups, optimizer.param_groups))
    if saved != given or ("betas" in saved_groups[0]) != ("betas" in optimizer.defaults):
        raise ValueError(
            "the checkpoint's optimizer is of another kind or trains other parameters, so its state does not fit; set "
            "model.optimizer.name as it was, or start from the checkpoint's weights with --model.init_from"
        )
    groups = [
        {**group, "params": saved_group["params"]}
        for group, saved_group in zip(optimizer.param_groups, saved_groups, strict=True)
    ]
    return {**state_dict, "param_groups": groups}
