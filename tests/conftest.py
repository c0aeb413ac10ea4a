"""Shared by all tests: real videos, small or with numbered frames, and runs of the real command line on them.

Letters: T frames, H x W pixels.
"""

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from nlvideo.__main__ import main
from nlvideo.data.prepare.encode import write_video
from nlvideo.training import run_folder
from nlvideo.visitors.dataset import make_visitors

ROOT = Path(__file__).parents[1]

# The demo's recipe on the small set, with a network a quarter as wide.
TINY = [
    "-c",
    str(ROOT / "configs" / "demo.yaml"),
    "--model.net.width=4",
    "--data.batch_size=8",
    "--data.eval_batch_size=4",
    "--data.num_workers=0",
    "--data.num_clips=3",
    "--trainer.log_every_n_steps=1",
]


@pytest.fixture(scope="session", autouse=True)
def drawing():
    """The function that draws a run's curves, for who wants to see them. What takes longer than a short training is
    left out of the others: curves, and counting a network's costs more than once."""
    draw, count, tables = run_folder.plot_curves, run_folder.stage_table, {}

    def counted_once(spec):
        network = repr((spec.net.config(), spec.clip, spec.batch))
        if network not in tables:
            tables[network] = count(spec)
        return tables[network]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "stage_table", counted_once)
        patch.setattr(run_folder, "plot_curves", lambda metrics, curves: None)
        yield draw


@pytest.fixture(scope="session")
def visitors(tmp_path_factory) -> Path:
    """Folder of 24 training and 8 validation videos."""
    folder = tmp_path_factory.mktemp("visitors")
    make_visitors(folder, num_train=24, num_val=8)
    return folder


@pytest.fixture(scope="session")
def tiny(visitors) -> list[str]:
    """Arguments of a run that takes seconds."""
    return [*TINY, f"--data.train={visitors / 'train.csv'}", f"--data.val={visitors / 'val.csv'}"]


@pytest.fixture
def one_thread():
    """Sums in one order: equal work gives equal bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny, drawing) -> Path:
    """Folder of a run of two epochs, one of them after a resume. Its curves are drawn."""
    runs = tmp_path_factory.mktemp("runs")
    base = ["fit", *tiny, f"--runs_dir={runs}", "--name=nl"]
    assert main([*base, "--trainer.max_epochs=1"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "plot_curves", drawing)
        assert main([*base, "--trainer.max_epochs=2", f"--ckpt_path={runs / 'nl' / 'last.ckpt'}"]) == 0
    return runs / "nl"


NUM_BITS = 8
HEIGHT, WIDTH = 64, 96  # eight stripes of eight pixels: wide enough for any codec's blocks


def numbered_frames(numbers) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] that carry a number from 0 to 255 each, in binary: stripes across the whole width,
    black for 0 and white for 1, the lowest bit on top. A flip, a crop along the width and a resize leave them
    readable."""
    bits = (np.asarray(numbers)[:, None] >> np.arange(NUM_BITS)) & 1  # [T, bits]
    rows = np.repeat(bits * 255, HEIGHT // NUM_BITS, axis=1).astype(np.uint8)  # [T, H]
    return np.broadcast_to(rows[:, :, None, None], (len(rows), HEIGHT, WIDTH, 3))


@pytest.fixture(scope="session")
def draw_numbers():
    """draw_numbers(numbers): the frames that carry them, uint8 [T, H, W, 3]."""
    return numbered_frames


@pytest.fixture(scope="session")
def write_numbered():
    """write_numbered(path, num_frames, fps=30, **of write_video): frame i of the video carries the number i."""

    def write(path, num_frames, fps=30, **options):
        write_video(path, numbered_frames(np.arange(num_frames)), fps, **options)
        return path

    return write


@pytest.fixture(scope="session")
def encode():
    """encode(path, num_frames, codec, its options, gop=.., times=.., tags=.., **of the container): numbered frames in
    any format; times in 1/3000 s, of 30 frames a second if they are left out."""

    def write(path, num_frames, codec, options, *, gop=24, times=None, tags=None, **container_options):
        with av.open(str(path), "w", options=container_options) as container:
            container.metadata.update(tags or {})
            stream = container.add_stream(codec, rate=30, options=options)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.gop_size = gop
            base = Fraction(1, 3000 if times else 30)
            stream.codec_context.time_base = base
            for i, frame in enumerate(numbered_frames(np.arange(num_frames))):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture.pts, picture.time_base = times[i] if times else i, base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))

    return write


@pytest.fixture(scope="session")
def read_numbers():
    """read_numbers(frames): the numbers that the pixels of uint8 [..., 3, T, H, W] or, with time_dim=-4,
    [..., T, 3, H, W] carry, as nested lists."""

    def read(frames: Tensor, time_dim: int = -3) -> list:
        frames = frames.movedim(time_dim, -4)  # (..., T, 3, H, W)
        assert frames.dtype == torch.uint8
        height = frames.shape[-2]
        middles = (torch.arange(NUM_BITS) * 2 + 1) * height // (2 * NUM_BITS)
        stripes = frames.float()[..., middles, :].mean(dim=(-3, -1))  # (..., T, bits)
        assert ((stripes < 64) | (stripes > 192)).all(), "a stripe is neither black nor white"
        return ((stripes > 128).long() << torch.arange(NUM_BITS)).sum(dim=-1).tolist()

    return read


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """run_tool("make_manifest.py", *arguments): what the script prints; fails where the script does."""

    def run(name, *arguments) -> str:
        path = Path(__file__).parents[1] / "tools" / name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        status = tool.main()
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run
