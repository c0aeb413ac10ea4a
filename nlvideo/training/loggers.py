"""Loggers of a configuration, and that logging to a service never stops a run."""

import functools
import os
from collections.abc import Callable
from netrc import NetrcParseError, netrc
from typing import Any

from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn

from nlvideo.training.run_folder import MetricsLogger

CALLS = (
    "log_metrics",
    "log_hyperparams",
    "log_graph",
    "log_image",
    "log_table",
    "save",
    "after_save_checkpoint",
    "finalize",
)


def as_list(value: Any) -> list:
    """What a configuration gives as nothing, one or a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def wandb_loggers(loggers: Any) -> list:
    """The nodes of ``trainer.logger`` that name W&B's."""
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
    """A logger that does not start is left out, with its own words; one that fails later, from then on. Not so the
    MetricsLogger of the run's folder: a run that cannot write there cannot save its checkpoints either."""
    started = []
    for logger in trainer.loggers:
        try:
            _ = logger.experiment
        except Exception as error:  # whatever a third-party client raises, from no network to no login
            rank_zero_warn(f"{type(logger).__name__} does not start and is left out of this run: {error}")
        else:
            started.append(logger)
    trainer.loggers = started
    for logger in started:
        if not isinstance(logger, MetricsLogger):
            for name in CALLS:
                if hasattr(logger, name):
                    setattr(logger, name, _guarded(getattr(logger, name), logger, trainer))


def _guarded(call: Callable, logger: Logger, trainer: Trainer) -> Callable:
    @functools.wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> None:
        if logger not in trainer.loggers:  # it failed, and whoever calls holds an older list
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            trainer.loggers = [other for other in trainer.loggers if other is not logger]
            rank_zero_warn(f"{type(logger).__name__} failed and is left out of the rest of this run: {error}")

    return guarded
