"""Reading the text files of a run or a sweep, which may be somebody else's: nothing in them is executed.

Each function raises ValueError, with the file's name, if a file is not what it should be.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

MAX_BYTES = 50 * 2**20  # of a text file: what nlvideo writes is far smaller
MAX_VALUES = 10_000  # of a configuration
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; what nlvideo writes has no more than {MAX_BYTES:,}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error})") from error


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a run."""
    try:
        content = yaml.load(read_text(path), LOADER)  # safe: plain values only
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if _size(content) > MAX_VALUES:  # few bytes can name one list many times
        raise ValueError(f"{path}: more than {MAX_VALUES:,} values; what nlvideo writes has some hundred")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("model", "data")):
        raise ValueError(f"{path}: not the configuration of a run: no mappings model and data")
    return content


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a mapping, or None if there is no file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping, got {type(content).__name__}")
    return content


def read_csv(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table, which must have some columns."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])  # a variant may be called null
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a table: {' '.join(str(error).split())}") from error
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{path}: no column {missing[0]!r}; expected what nlvideo ablate writes")
    return table


def _size(node: Any, counted: int = 0) -> int:
    """Return how many values a nested one has, and no more than `MAX_VALUES` + 1."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in items:
        if counted > MAX_VALUES:
            break
        counted = _size(item, counted)
    return counted + 1
