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
        momentum: of sgd.
        weight_decay: of everything but norms and biases.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            # Norms' weights, all biases and learned scalars: decaying them only fights the data.
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if self.name == "adamw":
            return torch.optim.AdamW(groups, lr=self.lr)
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate goes over a run, step by step. Lengths are in epochs.

    ::

        cosine      /--.__              steps      /-----.
                   /      `.                      /      |_____.
                  /         `--.__               /             |____
               warm-up                        warm-up

    Attributes:
        name: ``cosine`` ends at 0; ``steps`` multiplies by `factor` at each milestone.
        warmup_epochs: a straight line up from `warmup_start` times the learning rate.
        milestones: epochs at which ``steps`` goes down.
        factor: of each step down.
    """

    name: Literal["cosine", "steps"] = "cosine"
    warmup_epochs: float = 0.0
    warmup_start: float = 0.01
    milestones: list[float] = field(default_factory=list)
    factor: float = 0.1

    def __post_init__(self):
        if self.name == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' without milestones never steps; give milestones: [44, 88], in epochs")
        if self.name == "cosine" and self.milestones:
            raise ValueError("milestones belong to schedule 'steps'; 'cosine' has none")

    def multiplier(self, epoch: float, num_epochs: float) -> float:
        """Of the learning rate at `epoch` (a fraction between epochs) of a run of `num_epochs`."""
        if epoch < self.warmup_epochs:
            return self.warmup_start + (1 - self.warmup_start) * epoch / self.warmup_epochs
        if self.name == "steps":
            return self.factor ** sum(epoch >= milestone for milestone in self.milestones)
        progress = (epoch - self.warmup_epochs) / max(num_epochs - self.warmup_epochs, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
