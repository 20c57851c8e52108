#!/bin/sh
# Every Python 3.11 to 3.13 of this machine that really runs, newest first, one path a line. A name in PATH proves
# nothing: pyenv's shims are there for versions that are not active, and fail; those are looked up in pyenv itself.
for version in 3.13 3.12 3.11; do
  for candidate in "python$version" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$version.*/bin/python3 "/usr/bin/python$version"; do
    found=$(command -v "$candidate") || continue
    "$found" -c "import sys, ssl, sqlite3; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null || continue
    "$found" -c 'import sys; print(sys.executable)'
    break
  done
done
