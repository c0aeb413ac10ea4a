"""The same command again: whether a run's folder holds a run to go on with, one that is finished, or another one."""

from pathlib import Path
from typing import Any

from nlvideo import checkpoint
from nlvideo.checkpoint.native import differences
from nlvideo.exit_codes import AlreadyFinished

# Settings that may differ, since they do not change what a run learns. As many processes as before there have to be,
# whatever devices they are on; the checkpoint knows. Limits may rise.
LIMITS = ("max_epochs", "max_steps")  # of trainer
SETTINGS_THAT_MAY_DIFFER = {
    *(f"trainer.{name}" for name in LIMITS),
    "config",
    "name",
    "runs_dir",
    "overwrite",
    "ckpt_path",
    "checkpoint_minutes",
    "timeout_minutes",
    "data.test",
    "data.num_clips",
    "data.num_crops",
    "data.protocol",
    "data.num_workers",
    "data.decode_timeout",
    "model.views_per_forward",
    "model.inference_dtype",
    "model.keep_view_scores",
    "trainer.accelerator",
    "trainer.strategy",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.default_root_dir",
    "trainer.profiler",
    "trainer.max_time",
}
SHOWN = 6  # differences


def find_resumable_run(folder: Path, config: dict[str, Any]) -> Path | None:
    """Return the checkpoint from which ``nlvideo fit`` with this configuration goes on, or None if it begins.

    Raises:
        AlreadyFinished: if the run is at its end, and no limit has risen.
        ValueError: if the folder holds a run of another configuration, or one without its last checkpoint.
    """
    last = folder / "last.ckpt"
    if not last.is_file():
        if (folder / "best.ckpt").is_file():
            raise ValueError(
                f"{folder} holds best.ckpt of an earlier run, and no last.ckpt to go on with: choose another --name, "
                "or begin anew with --overwrite true"
            )
        return None
    earlier = checkpoint.read(last)["nlvideo"]["run_config"]
    if not isinstance(earlier.get("trainer"), dict):
        raise ValueError(
            f"{last}: holds a network, and no run to go on with; start from it with --model.init_from {last} and "
            "another --name"
        )
    if found := [
        *differences(earlier, config, may_differ=SETTINGS_THAT_MAY_DIFFER),
        *(f"trainer.{name} is lower" for name in LIMITS if _limit(config, name) < _limit(earlier, name)),
    ]:
        shown = "; ".join(found[:SHOWN])
        more = f"; {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            f"{folder} holds a run of another configuration: {shown}{more}. Choose another --name, begin anew with "
            f"--overwrite true, or go on with yours from its checkpoint: --ckpt_path {last}"
        )
    same_limits = all(_limit(config, name) == _limit(earlier, name) for name in LIMITS)
    same_time = config["trainer"]["max_time"] == earlier["trainer"].get("max_time")
    if (folder / "fit.json").is_file() and same_limits and same_time:
        raise AlreadyFinished(
            f"{folder} is finished: nothing to train. More: --trainer.max_epochs; anew: --overwrite true"
        )
    return last


def _limit(config: dict[str, Any], name: str) -> float:
    limit = config["trainer"].get(name)
    return float("inf") if limit in (None, -1) else limit
