#!/usr/bin/env bash
# The tests, with their own set-up. Arguments go to pytest: bash tools/test.sh tests/blocks -k non_local
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh
bash tools/browser.sh
# Threads that spin while they wait slow the decoding processes beside them.
export OMP_WAIT_POLICY=PASSIVE
# One process for each core, up to four, and one thread in each: two threads are slower than two processes here. Each
# begins with a part of the files, which shares their fixtures, and then takes tests from who has most left.
export OMP_NUM_THREADS=1
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal "$@"
