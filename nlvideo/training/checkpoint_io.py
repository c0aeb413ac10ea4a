"""How a checkpoint is written: beside the one that it replaces, which stays if that fails."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from nlvideo.checkpoint import read
from nlvideo.files import replacing


class AtomicIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all. One that cannot be written, as on a full disk, is a warning, and the
    training goes on.

    Attributes:
        errors: path of each checkpoint whose latest version could not be written, with the reason.
    """

    def __init__(self):
        super().__init__()
        self.errors: dict[Path, str] = {}

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint of ours as data: nothing in it is executed."""
        return read(path)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        content = io.BytesIO()  # torch hides errors of writing behind its own
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.errors[path] = error.strerror or str(error)
            kept = "the one of before is kept" if path.exists() else "there is none yet"
            rank_zero_warn(
                f"{path}: this checkpoint of {len(content.getbuffer()) / 1e6:.0f} MB could not be written "
                f"({self.errors[path]}); {kept}. The training goes on and tries again at the next one."
            )
        else:
            self.errors.pop(path, None)
