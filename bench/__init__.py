"""Benchmarks: the daemon as its users run it, beside what the same machine can do at most.

`make bench` runs the scenarios of `bench/scenarios`, `make bench-docs` writes what it measured
into `docs/performance.md`. Every figure is of a real `tirelessd serve` process with everything on.
"""
