"""How a checkpoint is written: in the background, beside the one that it replaces, which stays if that fails."""

import io
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.apply_func import apply_to_collection
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from nlvideo.checkpoint import read
from nlvideo.files import replacing


class AtomicIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, while the training goes on.

    The training waits only until its state is copied to the host. A thread serialises the copy and writes it. A
    checkpoint that cannot be written, as on a full disk, is a warning, and the training goes on. Lightning's
    AsyncCheckpointIO copies on the device, which has to have room for it, and gives up at the first error.
    """

    def __init__(self):
        super().__init__()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writes: dict[Path, Future] = {}  # the latest of each path
        self._errors: dict[Path, str] = {}  # of the latest version of each path

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        if path in self._writes:  # a disk that is slower than the training holds one copy of it in memory
            self._writes[path].result()
        copied = apply_to_collection(checkpoint, Tensor, _copy_to_host)
        self._writes[path] = self._writer.submit(self._write, copied, path)

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint of ours as data: nothing in it is executed."""
        self.wait()
        return read(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        self.wait()
        super().remove_checkpoint(path)

    def teardown(self) -> None:
        self.wait()

    def wait(self) -> None:
        """Return when every checkpoint that was handed over is on the disk, or could not be written."""
        for write in self._writes.values():
            write.result()

    def error(self, path: Path) -> str | None:
        """Wait, and return why the latest version of a checkpoint could not be written; None if it was."""
        self.wait()
        return self._errors.get(path)

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        content = io.BytesIO()  # torch hides errors of writing behind its own
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._errors[path] = error.strerror or str(error)
            kept = "the one of before is kept" if path.exists() else "there is none yet"
            rank_zero_warn(
                f"{path}: this checkpoint of {len(content.getbuffer()) / 1e6:.0f} MB could not be written "
                f"({self._errors[path]}); {kept}. The training goes on and tries again at the next one."
            )
        else:
            self._errors.pop(path, None)


def _copy_to_host(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
