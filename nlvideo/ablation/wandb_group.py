"""Weights & Biases: the runs of a sweep in one group, by the loggers of its configuration."""

import json
from typing import Any

from nlvideo.training.loggers import wandb_loggers


def in_group(config: dict[str, Any], group: str, name: str) -> list[str]:
    """Return arguments that put a run into a group under a name; the configuration's own win. None without W&B."""
    loggers = json.loads(json.dumps(config["trainer"]["logger"]))
    if not wandb_loggers(loggers):
        return []
    for logger in wandb_loggers(loggers):
        logger["init_args"] = {"group": group, "name": name, **given_settings(logger)}
    return [f"--trainer.logger={json.dumps(loggers)}"]


def given_settings(logger: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a logger's node that are not null."""
    return {key: value for key, value in logger["init_args"].items() if value is not None}
