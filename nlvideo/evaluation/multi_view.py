"""Multi-view scores: the softmax of each view of a video, averaged to one vote a video, gathered over processes.

Shapes: n videos, V views of a video, C = 3 channels, T frames, h x w pixels, K classes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from nlvideo.data.eval_dataset import DecodedVideo, ViewSpec, iter_views
from nlvideo.evaluation.metrics import accuracies, cross_entropy, mean_class, top_k
from nlvideo.models import Backbone

Normalize = Callable[[Tensor], Tensor]  # uint8 [V, C, T, h, w] -> float


def score_views(
    net: Backbone, videos: Sequence[DecodedVideo], views: ViewSpec, *, normalize: Normalize, views_per_forward: int
) -> list[Tensor]:
    """Return the softmax scores of the views of each video, float32 [V, K] each, on the CPU.

    Args:
        net: in eval mode, on the device of the videos' frames.
        views_per_forward: how many views go through the network at once, at most.
    """
    dtype = next(net.parameters()).dtype
    owners, scores = [], []
    for shown, batch in iter_views(videos, views, views_per_forward):
        owners += shown
        scores.append(net.scores(normalize(batch).to(dtype), views.trained_crop))
    scores, owners = torch.cat(scores).cpu(), torch.tensor(owners)  # (views, K), (views)
    return [scores[owners == i] for i in range(len(videos))]


@dataclass
class Evaluation:
    """Results of one pass over a set of videos.

    Attributes:
        levels: top1, top5, mean_class and loss of "clip" (one centred view) and, in a test, of "clip_averaged" (each
            view counted alone) and "video" (the mean of a video's softmax scores, one vote a video).
        scores: float32 [n, K], mean softmax of each video that could be read, at the last level.
        right: bool [n] at "clip" and, in a test, "video": whether the label has the highest score.
        labels: int64 [n].
        indices: int64 [n], rows of the manifest.
        num_videos: number of rows of the manifest.
        frame_size: most frequent height and width of the frames that views were cut from.
        view_scores: float32 [n, V, K], or None if they were not kept.
    """

    levels: dict[str, dict[str, float]]
    scores: np.ndarray
    right: dict[str, np.ndarray]
    labels: np.ndarray
    indices: np.ndarray
    num_videos: int
    frame_size: tuple[int, int]
    view_scores: np.ndarray | None = None

    def missing(self) -> list[int]:
        """Return the rows of the manifest that could not be read."""
        return sorted(set(range(self.num_videos)) - set(self.indices.tolist()))


class VideoScores:
    """Scores of the videos seen so far, a row a video: of this process until `gather`, then of all.

    Rows are plain values and tensors, by row of the manifest: label, frame_size, scores by level (means over views),
    in a test view_metrics (top1, top5 and loss of its views counted alone, averaged), and view_scores if kept.
    """

    def __init__(self, rows: dict[int, dict[str, Any]] | None = None):
        self.rows = dict(rows or {})

    def add(self, video: DecodedVideo, scores: dict[str, Tensor], keep_views: bool = False) -> None:
        """Add a video, given the scores of its views by level, float32 [V, K] each."""
        row = {
            "label": video.label,
            "frame_size": tuple(video.frames.shape[-2:]),
            "scores": {level: of_views.mean(dim=0) for level, of_views in scores.items()},
        }
        if "video" in scores:
            views = scores["video"].numpy()
            labels = np.full(len(views), video.label)
            metrics = (top_k(views, labels, 1), top_k(views, labels, 5), cross_entropy(views, labels))
            row["view_metrics"] = [float(values.mean()) for values in metrics]
            if keep_views:
                row["view_scores"] = scores["video"]
        self.rows[video.index] = row

    def gather(self) -> None:
        """Give each process the rows of all. A collective call."""
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return
        gathered: list[dict[int, dict[str, Any]]] = [{}] * dist.get_world_size()
        dist.all_gather_object(gathered, self.rows)
        self.rows = {index: row for rows in gathered for index, row in rows.items()}

    def evaluation(self, num_videos: int) -> Evaluation:
        """Return the results over all rows.

        Args:
            num_videos: number of rows of the manifest.

        Raises:
            ValueError: if there are no rows.
        """
        if not self.rows:
            raise ValueError(f"none of the {num_videos} videos could be read; see the warnings above")
        indices = sorted(self.rows)
        rows = [self.rows[index] for index in indices]
        labels = np.array([row["label"] for row in rows])
        levels, right = {}, {}
        for level in rows[0]["scores"]:
            if level == "video":
                levels["clip_averaged"] = _average_view_metrics(rows, labels)
            scores = torch.stack([row["scores"][level] for row in rows]).numpy()
            levels[level] = accuracies(scores, labels)
            right[level] = top_k(scores, labels, 1)
        view_scores = None
        if "view_scores" in rows[0]:
            view_scores = torch.stack([row["view_scores"] for row in rows]).numpy()
        ((frame_size, _),) = Counter(row["frame_size"] for row in rows).most_common(1)
        return Evaluation(levels, scores, right, labels, np.array(indices), num_videos, frame_size, view_scores)


def _average_view_metrics(rows: Sequence[dict[str, Any]], labels: np.ndarray) -> dict[str, float]:
    top1, top5, loss = np.array([row["view_metrics"] for row in rows]).T  # (n) each
    return {
        "top1": float(top1.mean()),
        "top5": float(top5.mean()),
        "mean_class": mean_class(top1, labels),
        "loss": float(loss.mean()),
    }
