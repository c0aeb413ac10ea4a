"""Weights & Biases: the runs of a sweep in one group. Read from and written to the configuration's logger."""

import json
from typing import Any

from nlvideo.training.loggers import wandb_loggers


def in_group(config: dict[str, Any], group: str, name: str) -> list[str]:
    """Arguments that put a run into a group under a name, unless its configuration gives its own; none without W&B."""
    loggers = json.loads(json.dumps(config["trainer"]["logger"]))
    if not wandb_loggers(loggers):
        return []
    for logger in wandb_loggers(loggers):
        given = {key: value for key, value in logger["init_args"].items() if value is not None}
        logger["init_args"] = {"group": group, "name": name, **given}
    return [f"--trainer.logger={json.dumps(loggers)}"]
