"""Learning curves of a run."""

from pathlib import Path

from matplotlib.figure import Figure

from nlvideo.figure import save_figure, styled


@styled
def plot_curves(metrics_csv: Path, png: Path) -> None:
    """Draw loss and accuracy of a run over its epochs, from its metrics.csv, as PNG and PDF."""
    import pandas as pd  # late: it takes as long to import as several steps of training

    table = pd.read_csv(metrics_csv)
    panels = {
        "loss": {"train/loss_epoch": "training", "val/clip_loss": "validation, clip level"},
        "top-1 accuracy, %": {"train/top1": "training", "val/clip_top1": "validation, clip level"},
    }
    figure = Figure(figsize=(7, 2.6))
    axes = figure.subplots(1, 2)
    for axis, (title, columns) in zip(axes, panels.items(), strict=True):
        for (column, label), marker in zip(columns.items(), "os", strict=True):
            if column not in table:
                continue
            rows = table[["epoch", column]].dropna()
            scale = 100 if "%" in title else 1
            axis.plot(rows["epoch"] + 1, rows[column] * scale, marker=marker, markersize=3, label=label)
        axis.set(xlabel="epoch", title=title)
        axis.locator_params(axis="x", integer=True)
        axis.legend()
    save_figure(figure, png)
