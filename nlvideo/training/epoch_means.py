"""Loss and accuracy of a whole training epoch, over all processes and over interruptions."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor


class EpochMeans(Callback):
    """Logs ``train/loss_epoch`` and ``train/top1``, means over the clips of an epoch. Lightning would count from where
    the run went on; here the sums lie in the checkpoint."""

    def __init__(self):
        self.sums = torch.zeros(3)  # of the loss, of the hits, and clips

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.trainer = trainer

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sums = self.sums.to(pl_module.device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sums.zero_()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict[str, Tensor], batch: Any, batch_idx: int
    ) -> None:
        size = len(batch.label)
        loss = outputs["loss"] * trainer.accumulate_grad_batches  # Lightning has divided it
        self.sums += torch.stack([loss * size, outputs["top1"] * size, loss.new_tensor(size)])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss, top1, size = self._total()
        pl_module.log_dict({"train/loss_epoch": loss / size, "train/top1": top1 / size})

    def state_dict(self) -> dict[str, Tensor]:
        return {"sums": self._total().cpu()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.sums = state_dict["sums"] if self.trainer.is_global_zero else torch.zeros(3)

    def _total(self) -> Tensor:
        return self.trainer.strategy.reduce(self.sums.clone(), reduce_op="sum")
