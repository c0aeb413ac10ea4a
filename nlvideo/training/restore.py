"""Optimizer and schedule of a run that goes on: the position is the checkpoint's, every setting the configuration's."""

from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR


class ResumableSchedule(LambdaLR):
    """LambdaLR that restores only its position; base rates and multipliers stay those it was made with."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        multipliers = zip(self.base_lrs, self.lr_lambdas, strict=True)
        self._last_lr = [base * multiplier(self.last_epoch) for base, multiplier in multipliers]
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr


def keep_settings(optimizer: torch.optim.Optimizer) -> None:
    """Make `optimizer` restore only what it has gathered (momenta, step counts), not its settings."""
    optimizer.register_load_state_dict_pre_hook(_with_own_settings)


def _with_own_settings(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    saved_groups = state_dict["param_groups"]
    saved, given = ([group["name"] for group in groups] for groups in (saved_groups, optimizer.param_groups))
    if saved != given or ("betas" in saved_groups[0]) != ("betas" in optimizer.defaults):
        raise ValueError(
            "the checkpoint's optimizer is of another kind or trains other parameters, so its state does not fit; set "
            "model.optimizer.name as it was, or start from the checkpoint's weights with --model.init_from"
        )
    groups = [
        {**group, "params": saved_group["params"]}
        for group, saved_group in zip(optimizer.param_groups, saved_groups, strict=True)
    ]
    return {**state_dict, "param_groups": groups}
