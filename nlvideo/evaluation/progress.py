"""A test that was stopped goes on where it was: `nlvideo test --resume`.

runs/<name>/test_progress/
  <process>-<number>.pt     rows of videos that were scored, written as the test goes; gone when it has ended
"""

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from nlvideo.console import console
from nlvideo.files import replacing

FOLDER = "test_progress"
SECONDS = 20.0  # between two files: what a killed test loses at most


class TestProgress(Callback):
    """Writes scores as they come, and gives a resumed test those of the one before.

    Args:
        folder: of the run.
        resume: go on; without it, a test begins anew.
        checkpoint: of the network.
    """

    def __init__(self, folder: Path, *, resume: bool, checkpoint: Path):
        self.folder = folder / FOLDER
        self.resume = resume
        self.checkpoint = checkpoint

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.about = _about(trainer, pl_module, self.checkpoint)
        self.written: set[int] = set()
        self.last_written = time.monotonic()
        rows = self._read() if self.resume else {}
        trainer.strategy.barrier()  # nobody removes or writes while another reads
        if trainer.is_global_zero:
            if not self.resume:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            pl_module.video_scores.rows = dict(rows)
            self.written = set(rows)
            if self.resume:
                num_videos = len(trainer.datamodule.samples["test"])
                console().print(f"resumed: {len(rows)} of {num_videos} videos were scored before")
        trainer.strategy.barrier()
        trainer.datamodule.done = set(rows)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args, **kwargs) -> None:
        if time.monotonic() - self.last_written < SECONDS:
            return
        rows = {index: row for index, row in pl_module.video_scores.rows.items() if index not in self.written}
        if rows:
            name = f"{trainer.global_rank}-{os.getpid()}-{len(self.written)}.pt"
            with replacing(self.folder / name) as partial:
                torch.save({"about": self.about, "rows": rows}, partial)
            self.written |= set(rows)
        self.last_written = time.monotonic()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:  # `EvaluationReport`, which comes before, has written the results
            shutil.rmtree(self.folder)

    def _read(self) -> dict[int, dict[str, Any]]:
        files = parts(self.folder.parent)
        if not files:
            raise ValueError(f"{self.folder}: no test was stopped here; leave out --resume")
        rows = {}
        for file in files:
            content = torch.load(file, weights_only=True)
            different = [key for key, value in self.about.items() if content["about"].get(key) != value]
            if different:
                raise ValueError(
                    f"{self.folder}: is of a test with other settings ({', '.join(different)}); leave out --resume to "
                    "begin anew"
                )
            rows |= content["rows"]
        return rows


def parts(folder: Path) -> list[Path]:
    """What a stopped test has left in a run's folder; a half-written file's name begins with a point."""
    return sorted((folder / FOLDER).glob("[!.]*.pt"))


def _about(trainer: Trainer, pl_module: LightningModule, checkpoint: Path) -> dict[str, str]:
    """What two tests must have in common for a video to have the same scores in both."""
    data = trainer.datamodule
    samples = "\n".join(f"{sample.path.absolute()} {sample.label}" for sample in data.samples["test"])
    status = checkpoint.stat()
    return {
        "checkpoint": f"{checkpoint.name}, {status.st_size} bytes, {status.st_mtime_ns}",
        "manifest": hashlib.sha256(samples.encode()).hexdigest(),
        "views": f"{data.clip_sampling}, {data.num_clips}, {data.views('test')}, {data.eval_short_side}",
        "decoder": str(data.reading["decoder"]),
        "precision": f"{trainer.precision}, {pl_module.inference_dtype}",
        "keep_view_scores": str(pl_module.keep_view_scores),
    }
