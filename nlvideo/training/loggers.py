"""Loggers that a configuration names, W&B's above all."""

import os
from netrc import NetrcParseError, netrc
from typing import Any

from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_warn


def as_list(value: Any) -> list:
    """Return as a list what a configuration gives as nothing, one or a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def wandb_loggers(loggers: Any) -> list:
    """Return the nodes of ``trainer.logger`` that name W&B's."""
    nodes = [logger for logger in as_list(loggers) if isinstance(logger, dict | Namespace)]
    return [node for node in nodes if str(node.get("class_path", "")).endswith("WandbLogger")]


def logged_in_to_wandb() -> bool:
    if "WANDB_API_KEY" in os.environ:
        return True
    try:
        return netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, NetrcParseError):
        return False


def drop_failing_loggers(trainer: Trainer) -> None:
    """Leave out loggers that do not start, with a warning that has their own words."""
    started = []
    for logger in trainer.loggers:
        try:
            _ = logger.experiment
        except Exception as error:  # whatever a third-party client raises, from no network to no login
            rank_zero_warn(f"{type(logger).__name__} does not start and is left out of this run: {error}")
        else:
            started.append(logger)
    trainer.loggers = started
