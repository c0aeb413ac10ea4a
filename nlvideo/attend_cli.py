"""``nlvideo attend``: what the attention blocks of a checkpoint's network draw on, in a video."""

import argparse
from pathlib import Path

from nlvideo.imports import long_imports
from nlvideo.predict_cli import add_network_arguments, load_network


def parse_query(text: str) -> tuple[float, float, float]:
    """Return frame, row and column from ``t,y,x``.

    Raises:
        argparse.ArgumentTypeError: it is not three numbers.
    """
    try:
        t, y, x = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected frame,row,column of the clip, such as 3,40,25") from None
    return t, y, x


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo attend",
        description="Pictures and numbers of what attention blocks draw on, in the centred clip of a video.",
    )
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video file")
    add_network_arguments(parser)
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--block", action="append", help="a block, as res4.1; may be given several times (default: all of them)"
    )
    parser.add_argument(
        "--query",
        action="append",
        type=parse_query,
        metavar="T,Y,X",
        help="frame, row and column of the clip that the network sees; may be given several times (default: the "
        "positions whose output changes the class score most)",
    )
    parser.add_argument("--num_queries", type=int, default=4, help="default queries of a block (default: %(default)s)")
    return parser


def main(args: list[str]) -> None:
    options = build_parser().parse_args(args)
    if options.num_queries < 1:
        raise ValueError(f"--num_queries {options.num_queries}: expected at least 1")

    # Late: --help and a mistaken option need not wait for torch.
    with long_imports():
        from nlvideo.analysis.attend import attend
        from nlvideo.analysis.clip import read_clip
        from nlvideo.console import console

    net = load_network(options)
    clip = read_clip(net, options.video)
    for query in options.query or ():
        for number, size, name in zip(query, clip.frames.shape, ("frame", "row", "column"), strict=False):
            if not 0 <= number <= size - 1:
                raise ValueError(f"--query: {name} {number:g}; the clip has {name}s 0 to {size - 1}")
    options.output.mkdir(parents=True, exist_ok=True)
    written = attend(net, clip, options.output, options.block, options.query, options.num_queries, about=vars(options))
    console().print(written)
