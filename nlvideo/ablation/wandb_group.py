"""Weights & Biases: the runs of a sweep in one group. Read from and written to the configuration's logger."""

import json
from typing import Any


def wandb_loggers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a configuration that name W&B's logger."""
    loggers = config["trainer"]["logger"]
    loggers = loggers if isinstance(loggers, list) else [loggers]
    return [logger for logger in loggers if isinstance(logger, dict) and logger["class_path"].endswith("WandbLogger")]


def in_group(config: dict[str, Any], group: str, name: str) -> list[str]:
    """Arguments that put a run into a group under a name, unless its configuration gives its own; none without W&B."""
    if not wandb_loggers(config):
        return []
    loggers = json.loads(json.dumps(config["trainer"]["logger"]))
    for logger in wandb_loggers({"trainer": {"logger": loggers}}):
        given = {key: value for key, value in logger["init_args"].items() if value is not None}
        logger["init_args"] = {"group": group, "name": name, **given}
    return [f"--trainer.logger={json.dumps(loggers)}"]
