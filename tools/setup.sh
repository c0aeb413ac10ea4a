#!/usr/bin/env bash
# Makes .venv with everything nlvideo needs, or brings it up to date; does nothing where it is.
# Needs python3 (3.10 or newer) with venv, and about 6 GB of disk. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
"$python" - <<'CHECK' || exit 1
import sys
if sys.version_info < (3, 10):
    sys.exit(f"nlvideo needs Python 3.10 or newer, this is {sys.version.split()[0]}; set PYTHON to a newer one")
try:
    import ensurepip, venv
except ImportError:
    sys.exit("python3 has no venv; install it (Debian, Ubuntu: apt install python3-venv)")
CHECK

# The environment is up to date if it was made from these very files.
wanted=$(cat pyproject.toml constraints.txt | "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ -x .venv/bin/nlvideo ] && [ "$(cat .venv/nlvideo-setup 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "setting up .venv (once; a download of about 3 GB, a few minutes)"
"$python" -m venv .venv
.venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
echo "$wanted" > .venv/nlvideo-setup
