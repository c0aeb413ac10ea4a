"""Parameter groups and learning-rate schedules."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class Optimizer:
    """The optimiser.

    Attributes:
        name: ``sgd`` (with Nesterov momentum) or ``adamw``.
        lr: base learning rate: the schedule multiplies it.
        base_batch: the total batch that `lr` is meant for. The learning rate then follows the batch that a step really
            sees, over all processes and accumulated batches: lr * batch / base_batch (Goyal et al. 2017, the linear
            rule). null takes `lr` as it is.
        momentum: of sgd.
        weight_decay: of everything but norms and biases.
        fused: one kernel for the whole step.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    base_batch: int | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    fused: bool = False

    def __post_init__(self):
        if self.base_batch is not None and self.base_batch < 1:
            raise ValueError(f"optimizer.base_batch: expected at least 1 clip, or null, got {self.base_batch}")

    def scaled_lr(self, batch: int) -> float:
        """The learning rate for steps of `batch` clips in all."""
        return self.lr if self.base_batch is None else self.lr * batch / self.base_batch

    def build(self, parameters: Iterable[nn.Parameter], batch: int) -> torch.optim.Optimizer:
        """Over the parameters that are trained, in two named groups, for steps of `batch` clips in all."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        groups = [
            {"name": "weights", "params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            # Learned scalars too: decaying these only fights the data.
            {"name": "norms, biases", "params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        options = {"lr": self.scaled_lr(batch), "fused": self.fused}
        if self.name == "adamw":
            return torch.optim.AdamW(groups, **options)
        return torch.optim.SGD(groups, momentum=self.momentum, nesterov=self.momentum > 0, **options)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate goes over a run, step by step.

    ::

        cosine      /--.__              steps      /-----.
                   /      `.                      /      |_____.
                  /         `--.__               /             |____
               warm-up                        warm-up

    Attributes:
        name: ``cosine`` ends at 0; ``steps`` multiplies by `factor` at each milestone.
        unit: in which `warmup` and `milestones` count: epochs, or steps of the optimiser ("iterations").
        warmup: length of a straight line up from `warmup_start` times the learning rate.
        milestones: where ``steps`` goes down.
        factor: of each step down.
    """

    name: Literal["cosine", "steps"] = "cosine"
    unit: Literal["epochs", "steps"] = "epochs"
    warmup: float = 0.0
    warmup_start: float = 0.01
    milestones: list[float] = field(default_factory=list)
    factor: float = 0.1

    def __post_init__(self):
        if self.name == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' without milestones never steps; give some, such as milestones: [44, 88]")
        if self.name == "cosine" and self.milestones:
            raise ValueError("milestones belong to schedule 'steps'; 'cosine' has none")

    def multiplier(self, step: int, num_steps: int, steps_per_epoch: int) -> float:
        """Of the learning rate, at a step of a run of `num_steps`."""
        steps_per_unit = steps_per_epoch if self.unit == "epochs" else 1
        position, end = step / steps_per_unit, num_steps / steps_per_unit
        if position < self.warmup:
            return self.warmup_start + (1 - self.warmup_start) * position / self.warmup
        if self.name == "steps":
            return self.factor ** sum(position >= milestone for milestone in self.milestones)
        progress = (position - self.warmup) / max(end - self.warmup, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
