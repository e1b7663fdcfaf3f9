#!/bin/sh
# image.sh [arguments for the builder]: build the image tirelessd:VERSION from what is checked out.
#
# With docker, podman or buildah, whichever is here; BUILDER names one, and IMAGE another name for
# the image. Its dates are those of the commit, so that whoever builds it again gets the same layers.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "$1" >&2
    exit 2
}

find_builder() {
    for candidate in ${BUILDER:-docker podman buildah}; do
        if command -v "$candidate" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    fail "An image needs ${BUILDER:-docker, podman or buildah}: install one, or name it with BUILDER=..."
}

builder=$(find_builder)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/tirelessd/__init__.py)
revision=$(git rev-parse HEAD)
created=$(git show -s --format=%cI HEAD)
seconds=$(git show -s --format=%ct HEAD)

case $builder in
# Only Docker's own format has a HEALTHCHECK.
*podman | *buildah) set -- --format docker --timestamp "$seconds" "$@" ;;
*) export DOCKER_BUILDKIT=1 ;;
esac
exec "$builder" build --tag "${IMAGE:-tirelessd:$version}" \
    --build-arg "SOURCE_DATE_EPOCH=$seconds" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" --build-arg "CREATED=$created" "$@" .
