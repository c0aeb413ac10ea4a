"""``nlvideo demo-data``, as a script of the checkout.

python tools/make_demo_data.py data/visitors
"""

import sys

from nlvideo import demo_data_cli
from nlvideo.demo_data_cli import build_parser  # noqa: F401, the tests of the documentation read it
from nlvideo.exit_codes import script

main = script(demo_data_cli.main)

if __name__ == "__main__":
    sys.exit(main())
