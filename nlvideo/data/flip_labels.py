"""Labels of flipped videos: "pushing something from left to right" becomes "from right to left"."""

import re
from collections.abc import Sequence

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def flipped_labels(class_names: Sequence[str]) -> list[int | None]:
    """Return the label of each class after a horizontal flip: the class whose name has left and right exchanged, the
    same one if its name has neither, and None if no class has the exchanged name, so that its videos must not be
    flipped."""
    label_of = {name.lower(): label for label, name in enumerate(class_names)}
    return [label_of.get(_SIDE.sub(_other_side, name).lower()) for name in class_names]


def _other_side(side: re.Match) -> str:
    return "right" if side[0].lower() == "left" else "left"


def flip_table(class_names: Sequence[str]) -> str:
    """Return what `flipped_labels` found, a line for each pair and for each class that is never flipped."""
    flipped = flipped_labels(class_names)
    pairs = [f"  {name}  <->  {class_names[to]}" for i, name in enumerate(class_names) if (to := flipped[i]) and to > i]
    never = [f"  {name}" for name, to in zip(class_names, flipped, strict=True) if to is None]
    lines = [f"flip exchanges {len(pairs)} pairs of classes:", *pairs]
    if never:
        lines += [f"and never flips {len(never)} classes, which have no counterpart:", *never]
    return "\n".join(lines)
