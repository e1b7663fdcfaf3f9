"""`python -m grafana.source.rules` prints the file of rules for one installation."""

import argparse
import sys
from collections.abc import Sequence

from grafana.source.rules import rendered
from grafana.source.rules.render import Choices


def choices(arguments: Sequence[str]) -> Choices:
    """What the command line chose; exits with what is wrong, or with the help."""
    usual = Choices()
    parser = argparse.ArgumentParser(prog="python -m grafana.source.rules", description=__doc__)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ALERT.NAME=TEXT",
        help="a threshold by its name, or `for`, `keep_firing_for`, `severity`",
    )
    parser.add_argument("--disable", action="append", default=[], metavar="ALERT")
    parser.add_argument("--job", default=usual.job, help="the scrape job's name")
    parser.add_argument("--runbooks", default=usual.runbooks, help="where the runbooks are")
    parser.add_argument(
        "--dashboards", default=usual.dashboards, help="Grafana's address, with /d at its end"
    )
    given = parser.parse_args(arguments)
    pairs = [text.partition("=") for text in given.set]
    return Choices(
        texts={name: text for name, _, text in pairs},
        disabled=given.disable,
        job=given.job,
        runbooks=given.runbooks.rstrip("/"),
        dashboards=given.dashboards.rstrip("/"),
    )


def main(arguments: Sequence[str]) -> int:
    """Print the rules and return 0, or say what no alert has and return 2."""
    try:
        sys.stdout.write(rendered(choices(arguments)))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
