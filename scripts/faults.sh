#!/bin/sh
# Run the experiments that the environment names, then renew their table, also after a failure.
set -eu

code=0
.venv/bin/pytest tests/faults --timeout=400 "$@" || code=$?
.venv/bin/python -m tests.faults.report
# 5: nothing was left to run, for all of it was green on this code already.
[ "$code" = 5 ] || exit "$code"
