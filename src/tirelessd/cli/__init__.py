"""The command line: `main` is the program."""

from tirelessd.cli.program import main

__all__ = ["main"]
