#!/bin/sh
# lock.sh: renew requirements/*.lock, newest versions that pyproject.toml allows.
#
# test.lock is resolved first and has everything; the others are cut from it, so that the tests
# run on the very versions that are shipped. One resolution holds for every Python from 3.11 on.
set -eu
cd "$(dirname "$0")/.."

uv_version=0.13.9

if ! .venv-lock/bin/uv --version 2>/dev/null | grep -q "^uv $uv_version "; then
    "${PYTHON:-python3}" -m venv --clear .venv-lock
    .venv-lock/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

compile() {
    .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: \
        --generate-hashes --custom-compile-command 'make lock' "$@"
}

compile pyproject.toml --extra test --extra tracing --group build --upgrade -o requirements/test.lock
compile pyproject.toml --constraint requirements/test.lock --upgrade -o requirements/runtime.lock
compile pyproject.toml --extra tracing --constraint requirements/test.lock --upgrade \
    -o requirements/tracing.lock
compile --group build --constraint requirements/test.lock --upgrade -o requirements/build.lock
compile --group pictures --constraint requirements/test.lock --upgrade -o requirements/pictures.lock
