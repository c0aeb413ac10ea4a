"""The sweep of ``--set``: the grid of the values that keys of the command line take, and names for its variants."""

import itertools
from collections.abc import Sequence
from typing import Any

import yaml

from nlvideo.ablation.variants import OF_THE_SWEEP, Sweep, Variant, as_argument


def sweep_of_settings(settings: Sequence[str], name: str) -> Sweep:
    """Return the grid of ``key=value,value,..`` settings; its first variant is the baseline.

    Values are separated by commas outside of brackets: ``model.net.after.at=none,{res3: [0, 1], res4: [1]}`` has two,
    named ``none`` and ``res3.0-1, res4.1``.

    Raises:
        ValueError: a setting is not of that form, or names a value twice.
    """
    axes = []
    for setting in settings:
        key, equals, values = setting.partition("=")
        try:
            parsed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            parsed = None
        if not equals or not key or not parsed:
            raise ValueError(f"--set {setting!r}: expected KEY=VALUE,VALUE,.. such as model.net.after.at=none,nl5")
        if key in OF_THE_SWEEP:
            raise ValueError(f"--set {setting!r}: {key} is not for a variant; use {OF_THE_SWEEP[key]}")
        arguments = [as_argument(value) for value in parsed]
        if len(set(arguments)) < len(arguments):
            raise ValueError(f"--set {setting!r}: names a value twice")
        axes.append([(name_of(key, value), (key, argument)) for value, argument in zip(parsed, arguments, strict=True)])
    variants = tuple(
        Variant(", ".join(name for name, _ in choice), tuple(override for _, override in choice))
        for choice in itertools.product(*axes)
    )
    keys = " x ".join(setting.partition("=")[0] for setting in settings)
    return Sweep(name, keys, variants[0].name, variants)


def name_of(key: str, value: Any) -> str:
    """Return a name for a setting: a word speaks for itself, anything else has the last part of its key before it.

    >>> name_of("model.net.after.at", {"res3": [0, 1], "res4": [1]})
    'res3.0-1, res4.1'
    >>> name_of("model.net.width", 8)
    'width 8'
    """
    if isinstance(value, str):
        return value
    last = key.rpartition(".")[2]
    if last == "at" and isinstance(value, dict) and value:
        return ", ".join(_place(stage, blocks) for stage, blocks in value.items())
    return f"{last} {_plain(value)}"


def _place(stage: str, blocks: Any) -> str:
    """Return residual blocks by their numbers, as elsewhere: res3.0-1, res4.1+5; 2 in res3, if only counted."""
    if not isinstance(blocks, list):
        return f"{as_argument(blocks)} in {stage}"
    is_run = len(blocks) > 1 and all(type(i) is int for i in blocks) and blocks == [*range(blocks[0], blocks[-1] + 1)]
    return f"{stage}.{blocks[0]}-{blocks[-1]}" if is_run else f"{stage}.{'+'.join(map(str, blocks))}"


def _plain(value: Any) -> str:
    """Return a value without braces: {reduction: 4, norm: none} as reduction 4 norm none."""
    if not isinstance(value, dict) or not value:
        return as_argument(value)
    return " ".join(f"{key} {_plain(its)}" for key, its in value.items())
