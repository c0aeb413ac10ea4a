"""The videos that a page shows: the most confident right and wrong ones, and those that two networks disagree on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlvideo.analysis.maps import attention_blocks
from nlvideo.checkpoint import load
from nlvideo.data.video import DecodeError
from nlvideo.models import Backbone
from nlvideo.report.evidence import Network, flips
from nlvideo.report.pictures import Picture, pictures
from nlvideo.report.source import Run


@dataclass(frozen=True)
class Video:
    """A video of a test and what a network makes of it.

    Attributes:
        score: of the prediction; label_score: of the label; from 0 to 1.
        others: the reference and what it predicts, if there is one.
        problem: why there are no pictures.
    """

    id: str
    label: str
    prediction: str
    score: float
    label_score: float
    others: str
    pictures: list[Picture]
    problem: str

    @property
    def is_right(self) -> bool:
        return self.label == self.prediction


@dataclass(frozen=True)
class Group:
    """Videos that are shown side by side."""

    title: str
    videos: list[Video]


def choose(network: Network, reference: Network | None, count: int) -> list[tuple[str, list[int]]]:
    """Return titles, and rows of the first training's predictions, at most `count` for each.

    Args:
        network, reference: paired, if there is a reference.
    """
    predictions = network.first
    guesses, videos = predictions.scores.argmax(axis=1), np.arange(len(predictions.labels))
    right = guesses == predictions.labels
    order = np.argsort(-predictions.scores[videos, guesses], kind="stable")
    groups = [
        ("Right, with the highest scores", [int(row) for row in order if right[row]]),
        ("Wrong, with the highest scores", [int(row) for row in order if not right[row]]),
    ]
    if reference is not None:
        flipped = flips(network, reference)
        others = reference.first.scores.argmax(axis=1) == predictions.labels
        for title, wins in ((f"Right, where {reference.name} is wrong", True), ("The other way round", False)):
            rows = [int(row) for row in flipped["row"] if right[row] == wins and others[row] != wins]
            groups.append((title, rows))
    return [(title, rows[:count]) for title, rows in groups]


def show(
    network: Network, reference: Network | None, count: int, block: str | None, trusted_modules: Sequence[str]
) -> tuple[list[Group], str]:
    """Return the groups of videos with their pictures, and a line on what was attended or why it is not shown.

    Args:
        block: whose attention is shown; None takes the first that has maps.

    Raises:
        ValueError: the network has no attention block of that name.
    """
    run, predictions = network.runs[0], network.first
    net, chosen, about = _network(run, block, trusted_modules)
    root = videos_folder(run)
    groups = []
    for title, rows in choose(network, reference, count):
        shown = []
        for row in rows:
            scores, label = predictions.scores[row], int(predictions.labels[row])
            guess = int(scores.argmax())
            names = predictions.class_names
            others = f"{reference.name}: {names[int(reference.first.scores[row].argmax())]}" if reference else ""
            found, problem = _pictures(net, root / predictions.ids[row], guess, chosen)
            values = float(scores[guess]), float(scores[label])
            shown.append(Video(predictions.ids[row], names[label], names[guess], *values, others, found, problem))
        groups.append(Group(title, shown))
    return groups, about


def _network(run: Run, block: str | None, trusted_modules: Sequence[str]) -> tuple[Backbone | None, str | None, str]:
    """Return the network of a run, the block whose attention is shown, and a line on it."""
    if not run.weights.is_file():
        return None, None, f"No pictures: {run.weights} is not there, which says how clips are cut."
    try:
        net = load(run.weights, trusted_modules=trusted_modules)
    except ValueError as error:
        return None, None, f"No pictures: {error}"
    names = attention_blocks(net)
    if block is not None and block not in names:
        raise ValueError(
            f"--block {block}: {run.folder} has no attention block of that name; expected "
            f"{'some of ' + ', '.join(names) if names else 'none, it has no attention maps'}"
        )
    if not names:
        return net, None, "The network has no block with attention maps."
    chosen = block or next(iter(names))
    others = [name for name in names if name != chosen]
    more = f" Other blocks: {', '.join(others)} (--block)." if others else ""
    about = (
        f"Beside each clip: what {chosen} draws on for one query (the ring), the position whose output changes the "
        f"score of the prediction most; bright is much. Clip of clip level, {run.weights.name} of {run.name}.{more}"
    )
    return net, chosen, about


def _pictures(net: Backbone | None, path: Path, guess: int, block: str | None) -> tuple[list[Picture], str]:
    if net is None:
        return [], ""
    if not path.exists():
        return [], f"no such file: {path}"
    try:
        return pictures(net, path, guess, block), ""
    except DecodeError as error:
        return [], str(error)


def videos_folder(run: Run) -> Path:
    """Return the folder from which the test's ids start: as test.json records it, else by the configuration."""
    recorded = (((run.test or {}).get("data") or {}).get("test") or {}).get("folder")
    if isinstance(recorded, str):
        return Path(recorded)
    data = run.config["data"]
    sources = (data.get(split) for split in ("test", "val", "train"))
    source = Path(next((its for its in sources if isinstance(its, str)), "."))
    return source if source.is_dir() else Path(data.get("root") or source.parent)
