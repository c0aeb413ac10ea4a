"""Compute-matched controls: the baseline made deeper or wider, until it costs as much as a variant with blocks.

Wang et al. 2018, section 5.1, argue so by hand: non-local ResNet-50 against a deeper ResNet-101.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import torch

from nlvideo.checkpoint import build
from nlvideo.cost.count import count_cost
from nlvideo.cost.tables import NetworkSpec
from nlvideo.models import ResNet3d

Measure = Literal["params", "macs", "time"]
NEAR = 0.02  # a deeper network that comes so near is taken, and a wider one else
DEEPER = "res4"  # where blocks are added, as from ResNet-50 to ResNet-101
WIDTH_STEP = {"params": 0.125, "macs": 0.125, "time": 1.0}  # an eighth: one more channel in res5

Settings = dict[str, Any]  # of the network


@dataclass(frozen=True)
class Control:
    """What a variant is held against.

    Attributes:
        variant: name of the variant.
        measure: what both have alike: parameters, multiply-adds of a clip or seconds of a training step.
        name: of the control's row; the baseline's if nothing deeper or wider comes nearer.
        settings: by which its network differs from the baseline's: depth or width, or none.
        off: its cost relative to the variant's, less 1.
    """

    variant: str
    measure: Measure
    name: str
    settings: Settings
    off: float


class Searcher:
    """Finds controls.

    Args:
        baseline: resolved configuration of the baseline.
        step_seconds: measures the training step of a network on its clips; see `StepTimes`.

    Raises:
        ValueError: the baseline's network is not one whose depth and width can be changed.
    """

    def __init__(self, baseline: dict[str, Any], step_seconds: Callable[[NetworkSpec], float]):
        self.spec = NetworkSpec.of(baseline)
        if not isinstance(self.spec.net, ResNet3d):
            raise ValueError(
                f"controls: the baseline's network is a {type(self.spec.net).__name__}; expected ResNet3d, whose depth "
                "and width can be changed. Leave controls out, or give deeper and wider networks as variants"
            )
        self.depths = {stage: len(blocks) for stage, blocks in self.spec.net.residual_blocks().items()}
        self.width = self.spec.net.config()["init_args"]["width"]
        self.step_seconds = step_seconds
        self.cost = cache(self._cost)  # of several variants are searched the same networks

    def find(self, variant: str, config: dict[str, Any], measure: Measure, baseline: str) -> Control:
        """Return the control of a variant.

        Args:
            variant: its name.
            config: its resolved configuration.
            measure: what both shall have alike.
            baseline: the baseline's name.
        """
        target = self._measure(NetworkSpec.of(config), measure)
        candidates = {}
        for knob in ("depth", "width"):
            steps = nearest(lambda n, knob=knob: self.cost(measure, knob, n), target)
            candidates[knob] = (steps, self.cost(measure, knob, steps) / target - 1)
        off = {knob: abs(its) for knob, (steps, its) in candidates.items() if steps}
        knob = "depth" if off.get("depth", 1) <= NEAR else min(off, key=off.get, default=None)
        if knob is None:
            return Control(variant, measure, baseline, {}, self.cost(measure, "width", 0) / target - 1)
        settings = self._settings(measure, knob, candidates[knob][0])
        name = f"{baseline}, {knob} {settings[knob]}"
        return Control(variant, measure, name, settings, candidates[knob][1])

    def _cost(self, measure: Measure, knob: str, steps: int) -> float:
        """Return the cost of the baseline with so many residual blocks or steps of width more."""
        config = self.spec.net.config()
        config["init_args"] |= self._settings(measure, knob, steps)
        with torch.device("meta"):
            net = build(config)
        return self._measure(replace(self.spec, net=net), measure)

    def _settings(self, measure: Measure, knob: str, steps: int) -> Settings:
        if knob == "depth":
            return {"depth": [count + steps * (stage == DEEPER) for stage, count in self.depths.items()]}
        width = self.width + steps * WIDTH_STEP[measure]
        return {"width": int(width) if width == int(width) else width}

    def _measure(self, spec: NetworkSpec, measure: Measure) -> float:
        if measure == "params":
            return sum(parameter.numel() for parameter in spec.net.parameters())
        if measure == "macs":
            return count_cost(spec.net, spec.clip).gmacs
        return self.step_seconds(spec)


def nearest(cost: Callable[[int], float], target: float) -> int:
    """Return the number of steps, from 0, whose cost is nearest to a target. Costs rise with the steps."""
    high = 1
    while cost(high) < target:
        high *= 2
    above = bisect_left(range(high), target, key=cost)
    return min((max(above - 1, 0), above), key=lambda steps: abs(cost(steps) - target))


def check_measures(measures: Any, where: str) -> tuple[Measure, ...]:
    """Return the names of measures.

    Raises:
        ValueError: not a list of known names; the message begins with `where`.
    """
    known = list(WIDTH_STEP)
    if not isinstance(measures, Sequence) or isinstance(measures, str) or not measures:
        raise ValueError(f"{where}: expected a list of {', '.join(known)}, got {measures!r}")
    for measure in measures:
        if measure not in known:
            raise ValueError(f"{where}: no measure {measure!r}; expected some of {', '.join(known)}")
    return tuple(dict.fromkeys(measures))
