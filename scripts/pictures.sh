#!/bin/sh
# pictures.sh FOLDER: draw the dashboards from the answers in FOLDER.
#
# In an environment of its own: numpy and its kind are no burden for those who only run the tests.
set -eu
cd "$(dirname "$0")/.."

if ! .venv-pictures/bin/python -c 'import matplotlib, msgspec' 2>/dev/null; then
    echo "Installing the packages of requirements/pictures.lock ..."
    "${PYTHON:-python3}" -m venv --clear .venv-pictures
    for lock in runtime pictures; do
        .venv-pictures/bin/python -m pip install -qq --disable-pip-version-check --no-input \
            --require-hashes --only-binary :all: -r "requirements/$lock.lock"
    done
fi
exec .venv-pictures/bin/python -m grafana.source.pictures "$1"
