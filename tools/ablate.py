"""``nlvideo ablate``, as a script of the checkout.

python tools/ablate.py -c configs/demo.yaml --sweep configs/ablations/demo -o runs/demo_tables --trainer.max_epochs 8
"""

import sys

from nlvideo import ablate_cli
from nlvideo.ablate_cli import build_parser  # noqa: F401, the tests of the documentation read it
from nlvideo.exit_codes import script

main = script(ablate_cli.main)

if __name__ == "__main__":
    sys.exit(main())
