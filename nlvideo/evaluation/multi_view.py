"""Evaluation: scores of a video's views, one vote a video, gathered over processes.

Letters: n videos, V views of a video, K classes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec, iter_views
from nlvideo.data.transforms import normalize
from nlvideo.evaluation.metrics import accuracies, mean_class, negative_log, top_k
from nlvideo.models import Backbone


@dataclass
class Evaluation:
    """What one pass over a set of videos gave.

    Attributes:
        levels: top1, top5, mean_class and loss of "clip" (one centred view) and, in a test, of "clip_averaged" (each
            view of the test counted alone) and "video" (their softmaxes averaged, one vote a video).
        scores: float32 [n, K], averaged softmax of the videos that could be read: of the last level.
        labels: int64 [n].
        indices: int64 [n], their rows in the manifest.
        num_videos: rows of the manifest.
        frame_size: most frequent height and width of the frames from which views were cut.
        view_scores: float32 [n, V, K] where they were kept.
    """

    levels: dict[str, dict[str, float]]
    scores: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    num_videos: int
    frame_size: tuple[int, int]
    view_scores: np.ndarray | None = None

    def missing(self) -> list[int]:
        """Rows of the manifest that could not be read."""
        return sorted(set(range(self.num_videos)) - set(self.indices.tolist()))


def score_views(
    net: Backbone,
    videos: Sequence[DecodedVideo],
    views: ViewSpec,
    *,
    mean: float | list[float],
    std: float | list[float],
    views_per_forward: int,
) -> list[Tensor]:
    """Softmax scores of the views of each video, float32 [V, K], on the CPU.

    Args:
        net: in eval mode, on the device of the videos' frames.
        mean, std: of the normalisation.
        views_per_forward: at most so many views go through the network at once.
    """
    dtype = next(net.parameters()).dtype
    owners, scores = [], []
    for videos_shown, batch in iter_views(videos, views, views_per_forward):
        owners += videos_shown
        scores.append(net.scores(normalize(batch, mean, std).to(dtype), views.trained_crop))
    scores, owners = torch.cat(scores).cpu(), torch.tensor(owners)
    return [scores[owners == video] for video in range(len(videos))]


class VideoScores:
    """The scores of each video that was seen, one row a video.

    Rows are of this process until `gather`: label, frame_size, scores by level (means over the views), and in a test
    single (top1, top5 and loss of its views counted alone, averaged) and where kept view_scores.
    """

    def __init__(self):
        self.rows: dict[int, dict[str, Any]] = {}

    def add(self, video: DecodedVideo, scores: dict[str, Tensor], keep_views: bool = False) -> None:
        """
        Args:
            scores: by level, of each view: float32 [V, K].
        """
        row = {
            "label": video.label,
            "frame_size": tuple(video.frames.shape[-2:]),
            "scores": {level: of_views.mean(dim=0) for level, of_views in scores.items()},
        }
        if "video" in scores:
            views = scores["video"].numpy()
            labels = np.full(len(views), video.label)
            of_views = (top_k(views, labels, 1), top_k(views, labels, 5), negative_log(views, labels))
            row["single"] = [float(values.mean()) for values in of_views]
            if keep_views:
                row["view_scores"] = scores["video"]
        self.rows[video.index] = row

    def gather(self) -> None:
        """Makes every process's rows those of all. A collective call."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return
        of_all: list[dict[int, dict[str, Any]]] = [{}] * dist.get_world_size()
        dist.all_gather_object(of_all, self.rows)
        self.rows = {index: row for rows in of_all for index, row in rows.items()}

    def evaluation(self, num_videos: int) -> Evaluation:
        """
        Args:
            num_videos: rows of the manifest.

        Raises:
            ValueError: there is not one row.
        """
        if not self.rows:
            raise ValueError(f"none of the {num_videos} videos could be read; see the warnings above")
        indices = sorted(self.rows)
        rows = [self.rows[index] for index in indices]
        labels = np.array([row["label"] for row in rows])
        levels = {}
        for level in rows[0]["scores"]:
            if level == "video":
                top1, top5, loss = np.array([row["single"] for row in rows]).T
                levels["clip_averaged"] = {
                    "top1": float(top1.mean()),
                    "top5": float(top5.mean()),
                    "mean_class": mean_class(top1, labels),
                    "loss": float(loss.mean()),
                }
            scores = torch.stack([row["scores"][level] for row in rows]).numpy()
            levels[level] = accuracies(scores, labels)
        view_scores = None
        if "view_scores" in rows[0]:
            view_scores = torch.stack([row["view_scores"] for row in rows]).numpy()
        (frame_size, _), *_ = Counter(row["frame_size"] for row in rows).most_common()
        return Evaluation(levels, scores, labels, np.array(indices), num_videos, frame_size, view_scores)
