"""Write the network of a checkpoint as one file that runs without nlvideo.

python tools/export.py runs/nl/last.ckpt -o model.pt2       for torch.export.load
python tools/export.py runs/nl/last.ckpt -o model.onnx      for onnxruntime
"""

import argparse
import sys
from pathlib import Path

import nlvideo
from nlvideo.checkpoint.export import export
from nlvideo.exit_codes import script
from nlvideo.user_modules import add_import_argument


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="of nlvideo")
    parser.add_argument("-o", "--output", type=Path, required=True, help="model.pt2 or model.onnx")
    add_import_argument(parser)
    return parser


@script
def main() -> None:
    options = build_parser().parse_args()
    export(nlvideo.load(options.checkpoint, trusted_modules=options.trusted_modules), options.output)
    size = options.output.stat().st_size / 1e6
    print(f"written {options.output}: {size:.1f} MB; class names and preprocessing inside")


if __name__ == "__main__":
    sys.exit(main())
