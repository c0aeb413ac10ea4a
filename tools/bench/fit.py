"""Whether a training waits for its data: `nlvideo fit` on one device, and with DDP on one process.

DDP takes NCCL on a GPU and gloo on a CPU. Speeds are means of the run's metrics.csv after its first log step, the share
of waiting is that of `data_ms` in a step. What stands behind -- goes to `nlvideo fit`. A run that fails is a row.

    python tools/bench/fit.py --output results/gpu_fit.csv -- -c configs/kinetics400.yaml -c configs/i3d_r50_8x8.yaml
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch
from evaluate import noise
from measure import write_rows

from nlvideo.__main__ import main as nlvideo
from nlvideo.data.manifest import write_manifest

FORMS = {"one device": "auto", "DDP, one process": "ddp"}


def run(strategy: str, options: argparse.Namespace, folder: Path) -> dict[str, float]:
    limits = [f"--trainer.max_steps={options.steps}", "--trainer.limit_val_batches=0", "--trainer.devices=1"]
    place = [f"--runs_dir={folder}", f"--name={strategy}", f"--trainer.log_every_n_steps={options.log_every}"]
    if status := nlvideo(["fit", *options.fit, *limits, *place, f"--trainer.strategy={strategy}"]):
        raise RuntimeError(f"nlvideo fit ended with status {status}")
    speed = pd.read_csv(folder / strategy / "metrics.csv").filter(like="speed/").dropna().iloc[1:].mean()
    speed.index = speed.index.str.removeprefix("speed/")
    return {**speed, "% waiting": 100 * speed["data_ms"] / (speed["data_ms"] + speed["step_ms"])}


def made_videos(folder: Path, count: int) -> list[str]:
    """Return options that train on made videos of 10 s, 340 x 256 pixels, two classes."""
    paths = [noise(folder / f"{i}.mp4", 300, 256, 340) for i in range(count)]
    rows = [{"path": path.absolute(), "label": i % 2, "id": path.stem} for i, path in enumerate(paths)] * 50
    write_manifest(folder / "videos.csv", rows, None)
    return [f"--data.train={folder / 'videos.csv'}", f"--data.val={folder / 'videos.csv'}", "--data.num_classes=2"]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of the optimizer (default: %(default)s)")
    parser.add_argument("--log-every", type=int, default=20, help="steps (default: %(default)s)")
    parser.add_argument("--made-videos", type=int, default=16, help="0: the options name data (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="CSV to add the rows to")
    parser.add_argument("fit", nargs="*", metavar="-- OPTION", help="options of nlvideo fit")
    return parser


def main() -> None:
    options = build_parser().parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        if options.made_videos:
            options.fit += made_videos(Path(name), options.made_videos)
        for form, strategy in FORMS.items():
            try:
                rows.append({"run": form, **run(strategy, options, Path(name))})
            except Exception as error:
                rows.append({"run": form, "error": f"{type(error).__name__}: {error}".splitlines()[0]})
    write_rows(rows, options.output, "cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    main()
