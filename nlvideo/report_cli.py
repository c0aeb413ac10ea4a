"""``nlvideo report``: one page that shows a run, two runs side by side, or a sweep.

nlvideo report runs/nl -o report.html
nlvideo report runs/plain runs/nl -o report.html
nlvideo report runs/where -o report.html --videos 0

The file holds all it needs: it opens from disk, without a network.
"""

import argparse
from pathlib import Path

from nlvideo.imports import long_imports
from nlvideo.user_modules import add_import_argument


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nlvideo report",
        description=__doc__.removeprefix("``nlvideo report``: "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="of a run; of two runs, the second compared with the first; or of a sweep",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="the page, such as report.html"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a page that is there")
    parser.add_argument(
        "--videos",
        type=int,
        default=4,
        metavar="N",
        help="moving pictures: of the N best, the N worst, and N that two networks disagree on each way; 0 for none "
        "(default: %(default)s)",
    )
    parser.add_argument("--block", help="whose attention is shown, such as res4.1 (default: the first block)")
    parser.add_argument(
        "--variant",
        help="of a sweep: which one is looked at beside the baseline (default: the one with the best top-1)",
    )
    add_import_argument(parser)
    return parser


def main(args: list[str]) -> None:
    options = build_parser().parse_args(args)
    output = options.output
    if len(options.folders) > 2:
        raise ValueError(f"{len(options.folders)} folders; expected one, or two runs to compare")
    if options.videos < 0:
        raise ValueError(f"--videos {options.videos}: expected 0 or more")
    if output.is_dir():
        raise ValueError(f"-o {output}: a folder; expected the name of a file, such as {output / 'report.html'}")
    if output.exists() and not options.overwrite:
        raise ValueError(f"-o {output}: exists; give another name, or --overwrite")
    if not output.absolute().parent.is_dir():
        raise ValueError(f"-o {output}: no folder {output.parent}; make it first")

    with long_imports():
        from nlvideo.console import console
        from nlvideo.files import write_text
        from nlvideo.report.page import Options, make_page

    page, lines = make_page(
        options.folders, Options(options.variant, options.videos, options.block, tuple(options.trusted_modules))
    )
    write_text(output, page)
    for line in lines:
        console().print(line)
    console().print(f"{output}: {len(page.encode()) / 1e6:.1f} MB, opens in a browser without a network")
