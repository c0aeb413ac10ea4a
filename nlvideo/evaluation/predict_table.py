"""What `nlvideo predict` prints: the best classes of each video, or of each stretch of its seconds."""

from itertools import groupby
from typing import Any

import numpy as np
from rich.table import Table
from torch import Tensor

from nlvideo.models import Backbone


def best_classes(net: Backbone, scores: Tensor, count: int) -> list[dict[str, Any]]:
    """Return the names and scores of the best `count` classes; `scores` is (K)."""
    best = scores.topk(min(count, len(scores)))
    return [
        {"class": net.class_names[label], "score": score}
        for score, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def best_table(results: list[dict[str, Any]]) -> Table:
    """Return a row for each of the best classes of each video."""
    table = Table("video", "class", "score")
    for result in results:
        for i, row in enumerate(result["classes"]):
            table.add_row(result["video"] if i == 0 else "", row["class"], f"{row['score']:.4f}")
        table.add_section()
    return table


def seconds_table(results: list[dict[str, Any]]) -> Table:
    """Return a row for each stretch of seconds with the same best class; the score is their mean."""
    table = Table("video", "seconds", "class", "score")
    for result in results:
        bests = [classes[0] for classes in result["seconds"]]
        for i, (name, same) in enumerate(groupby(enumerate(bests), key=lambda item: item[1]["class"])):
            seconds, rows = zip(*same, strict=True)
            score = np.mean([row["score"] for row in rows])
            stretch = f"{seconds[0]} to {seconds[-1] + 1}"
            table.add_row(result["video"] if i == 0 else "", stretch, name, f"{score:.4f}")
        table.add_section()
    return table
