"""Modules of the user, such as a file with a block: found in the working directory."""

import os
import sys


def search_working_directory() -> None:
    """Let modules in the working directory be imported, as ``python -m`` does. Installed modules win."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
