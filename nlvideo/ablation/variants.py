"""The variants that a sweep compares: overrides of one configuration, from a YAML file or from the command line."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nlvideo.ablation.controls import Measure, check_measures
from nlvideo.ablation.runs import StopRule

GROUPS = ("model", "data", "trainer")  # keys of a nested override that hold keys
OF_THE_SWEEP = {
    "config": "-c of nlvideo ablate",
    "seed_everything": "--seeds of nlvideo ablate",
    "name": "-o of nlvideo ablate",
    "runs_dir": "-o of nlvideo ablate",
    "overwrite": "-o of nlvideo ablate",
    "ckpt_path": "model.init_from",
}
KEYS = ("about", "baseline", "variants", "each_position", "controls", "stop", "max_time", "published")


@dataclass(frozen=True)
class Variant:
    """A name, and overrides as on the command line: (key, value)."""

    name: str
    overrides: tuple[tuple[str, str], ...]

    def arguments(self) -> list[str]:
        return [f"--{key}={value}" for key, value in self.overrides]


@dataclass(frozen=True)
class Sweep:
    """The variants of one table.

    Attributes:
        name: of the file.
        about: what the table compares, in a line.
        baseline: the variant that the others are compared with.
        variants: in the order of the rows.
        each_position: (key, stages): one more variant for each residual block of these stages, in which the key is
            that block alone, such as ``{res4: [2]}``.
        controls: measures in which the baseline, made deeper or wider, is to equal each variant, see `controls`; or by
            variant.
        stop: when a variant is given up, if at all.
        max_time: of each training, as ``trainer.max_time``: days, hours, minutes and seconds.
        published: accuracies on Kinetics-400 in percent, by the baseline's network ("c2d R50") and variant: top-1,
            and top-5 if known.
    """

    name: str
    about: str
    baseline: str
    variants: tuple[Variant, ...]
    each_position: tuple[tuple[str, tuple[str, ...]], ...] = ()
    controls: tuple[Measure, ...] | dict[str, tuple[Measure, ...]] = ()
    stop: StopRule | None = None
    max_time: str | None = None
    published: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def read_sweeps(paths: Sequence[str | Path]) -> list[Sweep]:
    """Return the sweeps of several files, and of all files of a folder; see `read_sweep`.

    Raises:
        ValueError: two files have one name, or a folder has none.
    """
    files = []
    for path in map(Path, paths):
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"sweep {path}: a folder without .yaml files; those of nlvideo are in configs/ablations")
        files += found
    sweeps = [read_sweep(file) for file in files]
    names = [sweep.name for sweep in sweeps]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two sweeps are called {name}: a table has the name of its file; rename one of them")
    return sweeps


def read_sweep(path: str | Path) -> Sweep:
    """Return the sweep of a YAML file::

        about: one non-local block, in each stage
        baseline: plain
        variants:
          plain: {model.net.after: none}
          res4: {model.net.after.at: {res4: [-2]}}
        published:
          c2d R50: {plain: [71.8, 89.7], res4: [72.7, 90.5]}

    Keys of overrides are those of the command line, dotted or nested.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a sweep; the message names the file and the key.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"sweep {path}: no such file; those of nlvideo are in configs/ablations")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"sweep {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("variants"), dict):
        raise ValueError(
            f"sweep {path}: expected a mapping with the keys {', '.join(KEYS)}, variants a mapping by name"
        )
    for key in content:
        if key not in KEYS:
            raise ValueError(f"sweep {path}: no key {key!r}; expected {', '.join(KEYS)}")
    variants = tuple(_variant(path, name, given) for name, given in content["variants"].items())
    if content.get("baseline") not in content["variants"]:
        raise ValueError(
            f"sweep {path}: baseline {content.get('baseline')!r} is none of the variants; expected one of "
            f"{', '.join(content['variants'])}"
        )
    for key in ("each_position", "published"):
        if not isinstance(content.get(key, {}), dict):
            raise ValueError(f"sweep {path}: {key}: expected a mapping, got {content[key]!r}")
    published = content.get("published", {})
    for network, numbers in published.items():
        for name, accuracies in numbers.items():
            if name not in content["variants"]:
                raise ValueError(f"sweep {path}: published, {network}: no variant {name!r}")
            if not isinstance(accuracies, list) or len(accuracies) not in (1, 2):
                raise ValueError(f"sweep {path}: published, {network}, {name}: expected [top-1] or [top-1, top-5]")
    return Sweep(
        path.stem,
        content.get("about", path.stem),
        content["baseline"],
        variants,
        tuple((key, tuple(stages)) for key, stages in content.get("each_position", {}).items()),
        _controls(path, content.get("controls")),
        None if content.get("stop") is None else stop_rule(content["stop"], f"sweep {path}: stop"),
        _max_time(path, content.get("max_time")),
        published,
    )


def _controls(path: Path, given: Any) -> tuple[Measure, ...] | dict[str, tuple[Measure, ...]]:
    if given is None:
        return ()
    if isinstance(given, dict):
        return {name: check_measures(its, f"sweep {path}: controls, {name}") for name, its in given.items()}
    return check_measures(given, f"sweep {path}: controls")


def stop_rule(given: Any, where: str) -> StopRule:
    """Return the rule of ``{after_epochs: 5, below_baseline: 5.0}``.

    Raises:
        ValueError: it has other keys or values; the message begins with `where`.
    """
    keys = ("after_epochs", "below_baseline")
    if not isinstance(given, dict) or set(given) != set(keys):
        raise ValueError(f"{where}: expected {{after_epochs: 5, below_baseline: 5.0}} with your numbers, got {given!r}")
    epochs, points = (given[key] for key in keys)
    if type(epochs) is not int or epochs < 1:
        raise ValueError(f"{where}, after_epochs: expected a whole number of epochs from 1, got {epochs!r}")
    if type(points) not in (int, float) or points < 0:
        raise ValueError(f"{where}, below_baseline: expected percentage points from 0, got {points!r}")
    return StopRule(epochs, float(points))


def _max_time(path: Path, given: Any) -> str | None:
    if given is not None and not (isinstance(given, str) and re.fullmatch(r"\d+(:[0-5]?\d){3}", given)):
        raise ValueError(
            f'sweep {path}: max_time: expected days, hours, minutes and seconds in quotes, such as "00:01:30:00", '
            f"got {given!r}"
        )
    return given


def _variant(path: Path, name: Any, given: Any) -> Variant:
    if not isinstance(name, str):
        raise ValueError(f"sweep {path}: variant {name!r}: a name is text; put it into quotes")
    if not isinstance(given, dict):
        raise ValueError(
            f"sweep {path}, variant {name}: expected overrides such as {{model.net.after.at: nl5}}, or {{}} for the "
            f"configuration as it is; got {given!r}"
        )
    overrides = tuple(_flat(given))
    for key, _ in overrides:
        if key in OF_THE_SWEEP:
            raise ValueError(f"sweep {path}, variant {name}: {key} is not for a variant; use {OF_THE_SWEEP[key]}")
    return Variant(name, overrides)


def _flat(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        if key in GROUPS and isinstance(value, dict):
            yield from ((f"{key}.{inner}", as_argument(its)) for inner, its in value.items())
        else:
            yield key, as_argument(value)


def check_common(arguments: Sequence[str]) -> None:
    """Raise ValueError if an override that all variants share belongs to the sweep as a whole."""
    for argument in arguments:
        key = argument.partition("=")[0].removeprefix("--")
        if argument.startswith("--") and key in OF_THE_SWEEP:
            raise ValueError(f"--{key}: not here; use {OF_THE_SWEEP[key]}")


def as_argument(value: Any) -> str:
    """Return a YAML value as one writes it on the command line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf")).split("\n")[0]
