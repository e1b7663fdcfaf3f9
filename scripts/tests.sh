#!/bin/sh
# tests.sh [arguments for pytest]: all tests, in two parts that both always run; see record 010.
#
# First those that measure nothing, side by side; then, alone on the machine, those marked `alone`.
# The exit status is that of the worse part. One part without tests is no failure: `-k` may pick
# from the other only; when neither has any, that is told as pytest tells it, with 5.
set -u
cd "$(dirname "$0")/.."

# No reordering by number of tests: the slow files have few, and would be left to one worker.
.venv/bin/pytest -m "not alone" -n 3 --dist loadfile --no-loadscope-reorder "$@"
together=$?
# Whoever interrupts means both.
[ "$together" != 2 ] || exit 2
.venv/bin/pytest -m alone "$@"
alone=$?

[ "$together" != 5 ] || exit "$alone"
[ "$alone" != 5 ] || exit "$together"
[ "$together" -gt "$alone" ] || exit "$alone"
exit "$together"
