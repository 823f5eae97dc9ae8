#!/usr/bin/env bash
# Set up a virtual environment: install.sh FOLDER [STACK]. Needs Python 3.10 to 3.12 and nothing else.
# STACK is openmmlab (stock, the default) or onedl (its maintained fork), as requirements/ has them.
# Safe to run again, also after it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
stack=${2:-openmmlab}
unfinished=$venv/.unfinished
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PIP_NO_BUILD_ISOLATION  # where its build finds torch, the fork's mmcv compiles for twenty minutes

say() { printf 'install: %s\n' "$*"; }
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

is_supported() {
    # Run it: version managers put names on the PATH behind which there is no interpreter.
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

find_python() {
    if [[ -n ${PYTHON:-} ]]; then
        is_supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10, 3.11 or 3.12"
        echo "$PYTHON"
        return
    fi
    local name
    for name in python3 python3.12 python3.11 python3.10; do
        if is_supported "$name"; then echo "$name"; return; fi
    done
    fail "no Python 3.10, 3.11 or 3.12 found: install one, or name one by 'make install PYTHON=...'"
}

make_venv() {
    if [[ -e $unfinished ]]; then
        say "an earlier set-up was interrupted: making $venv again"
        rm -rf "$venv"
    fi
    if [[ -x $venv/bin/python ]]; then
        is_supported "$venv/bin/python" ||
            fail "$venv has another Python than 3.10 to 3.12: remove it ('make clean') and try again"
        return
    fi
    local python
    python=$(find_python)
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        fail "could not make $venv: on Debian and Ubuntu, install the package python3-venv"
    }
}

# Progress bars for a person, a few lines for a log.
quiet=--quiet
[[ -t 1 ]] && quiet=--progress-bar=on

pip_install() { "$venv/bin/python" -m pip install "$quiet" "$@"; }

use_headless_opencv_without_libgl() {
    "$venv/bin/python" -c 'import cv2' 2>/dev/null && return
    say "OpenCV cannot be imported here (libGL is missing?): using its headless build"
    local version
    version=$(sed -n 's/^opencv-python==//p' requirements/common.txt)
    "$venv/bin/python" -m pip uninstall --quiet --yes opencv-python
    pip_install --no-deps --force-reinstall "opencv-python-headless==$version"
    "$venv/bin/python" -c 'import cv2' || fail "OpenCV cannot be imported; the reason is above"
}

[[ -f requirements/$stack.txt ]] || fail "no stack is named $stack: openmmlab or onedl"
make_venv
touch "$unfinished"
# An error of pip's own leaves nothing half done; only being killed does.
trap 'rm -f "$unfinished"' ERR
say "installing PyTorch (the largest part; a few minutes on a slow line)"
pip_install 'setuptools<81' wheel "$(grep '^torch==' "requirements/$stack.txt")"
say "installing $stack and the rest"
pip_install -r "requirements/$stack.txt" -r "requirements/$stack-dev.txt"
# A path entry: setuptools' own finder loses to a folder named mmproscale in the working directory.
pip_install --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
use_headless_opencv_without_libgl
"$venv/bin/python" -c 'import mmproscale'
rm -f "$unfinished"
say "done"
