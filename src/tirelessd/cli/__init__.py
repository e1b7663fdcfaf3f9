"""The command line: `main` is the program."""

from tirelessd.cli.begin import main

__all__ = ["main"]
