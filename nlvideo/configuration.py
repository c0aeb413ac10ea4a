"""The configuration that a command line of ``nlvideo fit`` means, without running it."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import yaml

from nlvideo.cli import VideoCLI
from nlvideo.user_modules import search_working_directory


def configuration(arguments: Sequence[str]) -> dict[str, Any]:
    """Return all settings of ``nlvideo fit`` with these arguments, defaults included, as in config.yaml.

    Raises:
        ValueError: the arguments do not parse.
    """
    search_working_directory()
    shown, refused = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(shown), redirect_stderr(refused):
            VideoCLI(["fit", *arguments, "--print_config"])
    except SystemExit as stop:
        if stop.code:
            reason = refused.getvalue().strip().rpartition("nlvideo: ")[2]
            raise ValueError(reason) from None
    config = yaml.safe_load(shown.getvalue())
    if config["data"]["num_classes"] is not None:  # a recipe of a network alone leaves it open
        config["model"]["net"]["init_args"]["num_classes"] = config["data"]["num_classes"]
    return config
