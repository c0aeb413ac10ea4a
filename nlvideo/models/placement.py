"""Placement of attention blocks: from what a user writes to residual blocks of each stage. Pure arithmetic.

      res2     res3       res4           res5
R50   0 1 2    0 1 2 3    0 1 2 3 4 5    0 1 2        0-based indices; "after the i-th block"
nl5              ^   ^      ^   ^   ^                 {res3: [1, 3], res4: [1, 3, 5]}
"""

import re
from collections.abc import Sequence

from nlvideo.suggest import did_you_mean

# ResNet3d takes presets and stages; for those of other models see `nlvideo.models.module_paths`.
Placement = str | list[str] | dict[str, int | list[int] | str | list[str]]

STAGES = ("res2", "res3", "res4", "res5")

# Wang et al. 2018, section 3.3 and Table 2: one block stands before the last residual block of res4; five and
# ten are spread over res3 and res4. 10 is "one after every residual block" there, on R50.
PRESETS: dict[str, dict[str, int | list[int]]] = {
    "none": {},
    "nl1": {"res4": [-2]},
    "nl5": {"res3": 2, "res4": 3},
    "nl10": {"res3": 4, "res4": 6},
}


def resolve_placement(at: Placement, depths: Sequence[int]) -> dict[str, list[int]]:
    """Return the residual blocks after which an attention block stands, by stage.

    Args:
        at: a preset (``none``, ``nl1``, ``nl5``, ``nl10``, ``all``), or by stage either a count, spread evenly
            (after every n//k-th of n blocks), or a list of 0-based indices, negative ones from the end.
        depths: number of residual blocks in res2, res3, res4 and res5.

    Returns:
        Sorted indices of each stage that has any, such as ``{"res3": [1, 3], "res4": [1, 3, 5]}``.

    Raises:
        ValueError: an unknown preset or stage, an index outside the stage, an index given twice, or a count above the
            depth of the stage; the message names what would be valid.
    """
    if isinstance(at, str):
        if at == "all":
            at = dict(zip(STAGES, depths, strict=True))
        elif at in PRESETS:
            at = PRESETS[at]
        else:
            if at.startswith("{"):  # YAML takes {res4:[1]} for a string
                spaced = re.sub(r":(?=\S)", ": ", at)
                raise ValueError(f"placement {at!r}: expected a space after each colon, as in '{spaced}'")
            hint = did_you_mean(at, [*PRESETS, "all"])
            raise ValueError(
                f"placement {at!r}: expected {', '.join([*PRESETS, 'all'])}, or a mapping such as "
                f"{{res3: 2, res4: [1, 3]}}{hint}"
            )
    if isinstance(at, list):
        raise ValueError(f"placement {at}: expected stages and indices such as {{res3: 2, res4: [1, 3]}}, not a list")
    num_blocks = dict(zip(STAGES, depths, strict=True))
    placement = {}
    for stage, where in at.items():
        if stage not in num_blocks:
            raise ValueError(f"placement {at}: no stage {stage!r}; the stages are {', '.join(STAGES)}")
        indices = resolve_indices(stage, where, num_blocks[stage])
        if indices:
            placement[stage] = indices
    return dict(sorted(placement.items()))


def resolve_indices(stage: str, where: int | list[int], num_blocks: int) -> list[int]:
    """Return sorted indices of the blocks of a stage: of a count, spread evenly, or of a list.

    Raises:
        ValueError: see `resolve_placement`.
    """
    if isinstance(where, str) or (isinstance(where, list) and not all(isinstance(index, int) for index in where)):
        raise ValueError(f"placement {stage}: expected a count or a list of indices, got {where!r}")
    if isinstance(where, int):
        if not 0 <= where <= num_blocks:
            raise ValueError(
                f"placement {stage}: {where} blocks asked for, but {stage} has {num_blocks} residual blocks; "
                f"give a count from 0 to {num_blocks}"
            )
        step = num_blocks // max(where, 1)
        return [(i + 1) * step - 1 for i in range(where)]
    for index in where:
        if not -num_blocks <= index < num_blocks:
            raise ValueError(
                f"placement {stage}: no block {index}; {stage} has {num_blocks} residual blocks, "
                f"so indices go from 0 to {num_blocks - 1} (or -{num_blocks} to -1)"
            )
    indices = sorted(index % num_blocks for index in where)
    if len(set(indices)) < len(indices):
        raise ValueError(f"placement {stage}: {where} names a block twice; {stage} has {num_blocks} blocks")
    return indices
