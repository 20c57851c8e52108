#!/bin/bash
# venv.sh PYTHON DIRECTORY: a virtual environment with the locked packages and voltar itself, editable.
# With an empty PYTHON it is the newest of this machine that will do.
set -euo pipefail
python=$1 venv=$2
[ "$python" ] || python=$(tests/testbed/interpreters.sh | sed -n 1p)
[ "$python" ] || python=$(command -v python3) || true
if [ -z "$python" ]; then
  echo "voltar needs Python 3.11 or newer: install it, or name it (make PYTHON=/path/to/python3 …)" >&2; exit 1
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "$python is too old or does not run: voltar needs Python 3.11 or newer" >&2; exit 1; }
# Debian packs venv's part that brings pip separately.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq install -y --no-install-recommends "$package" >/dev/null
  else
    echo "$python cannot make a virtual environment: install $package" >&2; exit 1
  fi
fi
echo "making $venv, with $("$python" --version) and the packages of requirements/dev.txt: about a minute" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip -qq --disable-pip-version-check install)
"${pip[@]}" --require-hashes --only-binary :all: -r requirements/dev.txt
"${pip[@]}" --no-deps --no-build-isolation --editable .
touch "$venv/complete"
