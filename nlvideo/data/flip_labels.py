"""Classes that a mirror exchanges: "pushing something from left to right" becomes "from right to left"."""

import re
from collections.abc import Sequence

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def flipped_labels(class_names: Sequence[str]) -> list[int | None]:
    """The class that each becomes when its video is mirrored: the one whose name has left and right exchanged, itself
    where it names neither, and None where no class has the exchanged name, so that its videos must not be mirrored."""
    label_of = {name.lower(): label for label, name in enumerate(class_names)}
    return [label_of.get(_SIDE.sub(_other_side, name).lower()) for name in class_names]


def _other_side(side: re.Match) -> str:
    return "right" if side[0].lower() == "left" else "left"


def flip_table(class_names: Sequence[str]) -> str:
    """What `flipped_labels` found, a line for each pair and each class that is never mirrored."""
    mirrored = flipped_labels(class_names)
    pairs = [
        f"  {name}  <->  {class_names[to]}" for i, name in enumerate(class_names) if (to := mirrored[i]) and to > i
    ]
    never = [f"  {name}" for name, to in zip(class_names, mirrored, strict=True) if to is None]
    lines = [f"flip exchanges {len(pairs)} pairs of classes:", *pairs]
    if never:
        lines += [f"and never mirrors {len(never)}, whose counterparts are missing:", *never]
    return "\n".join(lines)
