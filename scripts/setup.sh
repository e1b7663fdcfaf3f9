#!/bin/sh
# setup.sh run|test: make .venv hold exactly what the locks say, for the daemon or for its tests too.
#
# What was installed is remembered by checksum, not by date: a fresh clone or a switched branch is
# judged by what its files say. When the locks change, .venv is made anew, so that nothing a lock
# no longer names is left to hide a missing dependency.
set -eu
cd "$(dirname "$0")/.."

wanted=$1
locks="requirements/runtime.lock requirements/build.lock"
[ "$wanted" = run ] || locks="requirements/test.lock"

fail() {
    echo "$1" >&2
    exit 2
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "${PYTHON:-python3} is not Python 3.11 or newer: install one, or name it with PYTHON=/path/to/python3."
}

make_venv() {
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments: install the package python3-venv."
    echo "Making .venv with $("$python" --version) ..."
    "$python" -m venv --clear .venv
}

is_current() {
    case $holds in
    "run $locked" | "test $locked") .venv/bin/python -c '' 2>/dev/null ;;
    *) false ;;
    esac
}

install() {
    # Wheels only: building one from source would fetch build tools that no lock names.
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: "$@"
}

install_project() {
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation --editable .
}

# Two makes at once take turns; the second finds the work done.
exec 9>.setup.lock
if command -v flock >/dev/null 2>&1; then flock 9; fi

# The path counts too: a virtual environment does not survive being moved.
locked="$(cat requirements/*.lock | cksum) $PWD"
project=$(cksum <pyproject.toml)
holds=$(cat .venv/.holds 2>/dev/null || true)

if ! is_current; then
    make_venv
    holds=
fi

if [ "$holds" != "$wanted $locked" ] && [ "$holds" != "test $locked" ]; then
    echo "Installing the packages of ${locks} ..."
    # shellcheck disable=SC2046,SC2086
    install $(printf -- '-r %s ' $locks)
    echo "$wanted $locked" >.venv/.holds
fi

if [ "$project" != "$(cat .venv/.project 2>/dev/null || true)" ] || [ ! -x .venv/bin/tirelessd ]; then
    install_project
    echo "$project" >.venv/.project
fi
