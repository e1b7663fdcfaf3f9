#!/bin/sh
# prometheus.sh: have promtool and the Prometheus server for the tests.
#
# Where they are missing, they are unpacked from the distribution's package into .tools/bin.
# Installing that package would start a server on this machine; and apt is given lists of its own
# here, so that neither root nor a change to the machine is needed.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.tools/bin:$PATH

works() {
    promtool --version >/dev/null 2>&1 && prometheus --version >/dev/null 2>&1
}

own_apt() {
    apt-get -qq -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

# A hook of the machine's apt may fail for want of root: what counts is that the binaries run.
unpack() (
    rm -rf .tools
    mkdir -p .tools/bin .tools/apt/lists/partial .tools/apt/cache/archives/partial
    cd .tools/apt
    own_apt update
    own_apt download prometheus
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/prometheus ./usr/bin/promtool
    mv usr/bin/* ../bin
    rm -rf "$PWD"
)

# Two makes at once take turns; the second finds the work done.
exec 9>.setup.lock
if command -v flock >/dev/null 2>&1; then flock 9; fi

if ! works; then
    echo "Unpacking Prometheus into .tools ..."
    unpack >/dev/null 2>&1 || true
fi
if ! works; then
    echo "The tests need promtool and prometheus: install the package prometheus." >&2
    exit 2
fi
