#!/bin/sh
# buildah.sh: have buildah, and base images of Debian's packages, for the tests of the image.
#
# They are for machines that reach no registry of images. The base images stand in build/image and
# are made anew when this file changes; they have Python and certificates, as slim images have.
set -eu
cd "$(dirname "$0")/.."

suite=bookworm
folder=build/image

fail() {
    echo "$1" >&2
    exit 2
}

works() {
    buildah --version >/dev/null 2>&1 && debootstrap --version >/dev/null 2>&1
}

# As a slim image: without bytecode, and without what apt and debootstrap leave behind.
make_base() {
    name=$1 packages=$2
    echo "Making a base image with $packages ..."
    rm -rf "$folder/$name"
    debootstrap --variant=minbase --include="$packages" "$suite" "$folder/$name" \
        >"$folder/$name.log" 2>&1 || fail "debootstrap failed: see $folder/$name.log."
    find "$folder/$name" -name __pycache__ -type d -prune -exec rm -rf {} +
    rm -rf "$folder/$name"/var/cache/apt/* "$folder/$name"/var/lib/apt/lists/*
    tar -C "$folder/$name" -cf "$folder/$name.tar" .
    rm -rf "${folder:?}/$name"
}

[ "$(id -u)" = 0 ] || fail "The tests of the image mount and change roots: run them as root."
if ! works; then
    echo "Installing the packages buildah and debootstrap ..."
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
        --no-install-recommends buildah debootstrap; } >/dev/null 2>&1 || true
fi
works || fail "The tests of the image need buildah and debootstrap: install these packages."

made=$(cksum <scripts/buildah.sh)
if [ "$made" != "$(cat "$folder/.made" 2>/dev/null || true)" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    make_base base python3,ca-certificates
    make_base tools python3,ca-certificates,python3-venv
    echo "$made" >"$folder/.made"
fi
