"""Libraries' advertisements, and warnings about what nobody who uses nlvideo can change, are left out."""

import logging
import warnings


def hush_libraries() -> None:
    """Silence them in this process."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # what a profiler has measured
    for message in (
        r".*callbacks used to create the checkpoint need to be provided.*",  # a test needs no ModelCheckpoint
        r"Checkpoint directory .* exists and is not empty",  # our run folder, made a moment ago
        r"Experiment logs directory .* exists and is not empty",
        r"It is recommended to use `self.log\('(val|test)/",  # evaluations are gathered before they are logged
        r".*isinstance\(treespec, LeafSpec\).*",
        r"The '.*_dataloader' does not have many workers",
        r"It is recommended to use `self.log\('train/.*sync_dist=True",  # torchmetrics does so itself
        r"The number of training batches .* is smaller than the logging interval",  # check_training says more
    ):
        warnings.filterwarnings("ignore", message=message)
    warnings.formatwarning = _one_line


def _one_line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None):
    """Return a warning without the path and the line of the code that gave it, which users can't act on."""
    return f"warning: {' '.join(str(message).split())}\n"
