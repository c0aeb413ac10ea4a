"""Loggers that a configuration names, W&B's above all."""

import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from uuid import uuid4

from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.loggers import Logger
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


def prepare_wandb(loggers: Any, folder: Path, resumed: dict[str, Any] | None) -> None:
    """Put each W&B run into the run's own folder, offline if nobody is logged in: wandb would ask, and wait.

    Args:
        loggers: the node ``trainer.logger`` of a configuration, changed in place.
        resumed: the checkpoint from which the run goes on: it keeps the id that it had.
    """
    for logger in wandb_loggers(loggers):
        settings = logger.init_args
        settings.save_dir = str(folder)
        settings.name = settings.name or str(folder)
        settings.id = settings.id or _earlier_id(resumed) or uuid4().hex[:8]
        folder.mkdir(parents=True, exist_ok=True)
        if not logged_in_to_wandb():
            os.environ.setdefault("WANDB_MODE", "offline")


def _earlier_id(resumed: dict[str, Any] | None) -> str | None:
    """Return the id in a checkpoint's record, which is data from whoever made the file: a string or nothing."""
    trainer = resumed["nlvideo"]["run_config"].get("trainer") if resumed else None
    for logger in wandb_loggers(trainer.get("logger")) if isinstance(trainer, dict) else []:
        settings = logger.get("init_args")
        if isinstance(settings, dict) and isinstance(settings.get("id"), str):
            return settings["id"]
    return None


def takes_pictures(loggers: list[Logger]) -> bool:
    """Return whether one of the loggers takes pictures, as W&B's does."""
    return any(hasattr(logger, "log_image") for logger in loggers)


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
