"""``nlvideo``: the command line. torch is imported only once there is something to do."""

import os
import sys
from difflib import get_close_matches

from nlvideo.exit_codes import exit_code
from nlvideo.user_modules import search_working_directory

COMMANDS = ("fit", "validate", "test", "predict", "attend", "attention-stats")

HELP = """\
nlvideo: non-local, squeeze-and-excitation and dual attention in C2D and I3D video networks

usage: nlvideo COMMAND [options]

  fit        train            nlvideo fit -c configs/demo.yaml --name nl --model.net.after.at '{res4: [1]}'
  validate   clip level       nlvideo validate -c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt
  test       video level      nlvideo test -c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt
  predict    any video        nlvideo predict video.mp4 --ckpt_path runs/nl/last.ckpt
  attend     attention maps   nlvideo attend video.mp4 --ckpt_path runs/nl/last.ckpt -o maps
  attention-stats    statistics of attention over a test set
                              nlvideo attention-stats -c runs/nl/config.yaml --ckpt_path runs/nl/last.ckpt -o stats

  nlvideo COMMAND --help      every option of a command
  nlvideo fit --model.net.help ResNet3d                  the options of the network
  nlvideo fit ... --print_config                         the whole configuration, without running it

Options come from YAML files (-c, several are merged) and from the command line, which wins.
--import my_blocks imports a module of yours: options can then name its classes, and so may checkpoints.
NLVIDEO_DEBUG=1 in the environment shows the stack trace of an error.
"""


def main(args: list[str] | None = None) -> int:
    """Run a command and return its exit status, see `exit_codes`."""
    args = sys.argv[1:] if args is None else args
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if args[0] == "--version":
        import nlvideo

        print(nlvideo.__version__)
        return 0
    if args[0] not in COMMANDS:
        nearest = get_close_matches(args[0], COMMANDS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        print(f"nlvideo: no command {args[0]!r}; expected {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        return 2
    # Threads that spin while they wait for work slow the decoding processes beside them, and each other, many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    search_working_directory()
    try:
        if args[0] == "predict":
            from nlvideo import predict_cli

            predict_cli.main(args[1:])
        elif args[0] == "attend":
            from nlvideo import attend_cli

            attend_cli.main(args[1:])
        elif args[0] == "attention-stats":
            from nlvideo import attention_stats_cli

            attention_stats_cli.AttentionStatsCLI(args[1:])
        else:
            from nlvideo import cli

            cli.VideoCLI(args)
    except KeyboardInterrupt:
        print("nlvideo: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        end = exit_code(error)
        if end is None or os.environ.get("NLVIDEO_DEBUG"):
            raise
        if end.line:
            print(f"nlvideo: {end.line}", file=sys.stderr)
        return end.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
