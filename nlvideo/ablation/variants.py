"""The variants that a sweep compares: overrides of one configuration, from a YAML file or from the command line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

GROUPS = ("model", "data", "trainer")  # keys of a nested override that hold keys
OF_THE_SWEEP = {
    "config": "-c of tools/ablate.py",
    "seed_everything": "--seeds of tools/ablate.py",
    "name": "-o of tools/ablate.py",
    "runs_dir": "-o of tools/ablate.py",
    "overwrite": "-o of tools/ablate.py",
    "ckpt_path": "model.init_from",
}
KEYS = ("about", "baseline", "variants", "each_position", "published")


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
        published: accuracies on Kinetics-400 in percent, by the baseline's network ("c2d R50") and variant: top-1,
            and top-5 if known.
    """

    name: str
    about: str
    baseline: str
    variants: tuple[Variant, ...]
    each_position: tuple[tuple[str, tuple[str, ...]], ...] = ()
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
        published,
    )


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
