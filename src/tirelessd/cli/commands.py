"""The commands and their options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from tirelessd import __version__
from tirelessd.cli.health import Unwell, check_health
from tirelessd.settings import Role, SettingsError, load

# Plain help: a box around it costs a tenth of a second, and is no help in a log.
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="TIRELESSD_CONFIG", metavar="FILE", help="The settings, in YAML."
    ),
]
DEFAULT_CONFIG = Path("tirelessd.yaml")


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  (called by typer with the option's value)
    if is_asked:
        version()
        raise typer.Exit


@app.callback()
def program(
    *,
    is_version_asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Hand it work over HTTP; it keeps at it until the work is done, or tells why it is not."""


@app.command()
def serve(
    config: Config = DEFAULT_CONFIG,
    *,
    role: Annotated[
        Role | None,
        typer.Option(help="What this process does, whatever the settings say of it."),
    ] = None,
) -> int:
    """Accept and attempt items.

    SIGTERM and SIGINT drain; a second one ends at once. SIGHUP from a terminal drains too.
    """
    settings = load(config, role)
    # Only here, for no other command should wait for the import of servers and stores.
    from tirelessd.cli.life import live  # noqa: PLC0415
    from tirelessd.daemon import Daemon  # noqa: PLC0415

    async def life() -> int:
        # Made inside, for its parts hold on to the loop that they are made in.
        return await Daemon(settings).run()

    return live(life())


@app.command()
def check(config: Config = DEFAULT_CONFIG) -> int:
    """Show the configuration, or what is wrong.

    With every default and variable in it, and secrets masked; or every problem, one a line.
    """
    try:
        settings = load(config)
    except SettingsError as error:
        # All of them here, for whoever asks wants to mend them in one go.
        for problem in error.problems:
            sys.stderr.write(f"tirelessd: {problem}\n")
        return 2
    yaml.safe_dump(settings.shown, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


@app.command()
def demo(
    *,
    items: Annotated[int, typer.Option(min=1, max=10_000, help="How many predictions.")] = 100,
    slots: Annotated[int, typer.Option(min=1, max=1_000, help="How many at once.")] = 20,
    failure_rate: Annotated[
        float, typer.Option(min=0, max=0.9, help="The share of calls that fail.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed fails other calls.")] = 1,
    is_kept: Annotated[
        bool, typer.Option("--keep", help="Stay up afterwards and show where to look.")
    ] = False,
) -> int:
    """Show it at work: 100 predictions, one dies.

    Starts the daemon on a temporary file and a flaky prediction server on loopback, submits over
    HTTP, and compares the daemon's counters with the server's own tally. Nothing is left behind.
    """
    # Only here, for the same reason as above.
    from rich.console import Console  # noqa: PLC0415

    from tirelessd.cli.demonstration.story import Plan, run_demo  # noqa: PLC0415

    plan = Plan(items, slots, failure_rate, seed, is_kept)
    return run_demo(plan, Console(highlight=False, soft_wrap=True))


@app.command()
def healthcheck(
    config: Config = DEFAULT_CONFIG,
    *,
    is_liveness: Annotated[
        bool, typer.Option("--live", help="Ask whether it lives, not whether it is ready.")
    ] = False,
    timeout_seconds: Annotated[
        float,
        typer.Option(
            "--timeout-seconds", min=0.1, max=60, metavar="SECONDS", help="How long it may take."
        ),
    ] = 3.0,
) -> int:
    """Ask a running daemon whether it is ready.

    At the address that the configuration gives its ops listener. Exit code 0 is yes, 1 is no.
    """
    try:
        ops = load(config).ops
    except SettingsError as error:
        # Containers know 0 and 1 only; the daemon may be well with the settings it began with.
        raise Unwell(str(error)) from None
    check_health(ops, "/livez" if is_liveness else "/readyz", timeout_seconds)
    return 0


@app.command()
def migrate(
    config: Config = DEFAULT_CONFIG,
    *,
    is_check: Annotated[
        bool, typer.Option("--check", help="Tell what is missing; change nothing.")
    ] = False,
) -> int:
    """Bring the store's schema up.

    A start does it, too, unless store_postgresql.migrate_at_start is false. Exit code 0: it fits.
    1: it does not, or the store is out of reach, and the same may go well later. 2: it will not
    before somebody changes something. Daemons may go on meanwhile, except on an embedded store,
    which one process has to itself.
    """
    # Only here, for the same reason as above.
    from tirelessd.cli.migrate import carry_out  # noqa: PLC0415

    return carry_out(load(config), is_check=is_check)


@app.command(name="migrate-store")
def migrate_store(
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="The store to move: sqlite:///path.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="URL", help="Where to: postgresql://user@host/database.")
    ],
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at both ends and count; move nothing.")
    ] = False,
    is_anew: Annotated[
        bool, typer.Option("--anew", help="Throw away what an unfinished move has brought.")
    ] = False,
    allows_unsafe_durability: Annotated[
        bool,
        typer.Option("--allow-unsafe-durability", help="As the setting of the shared store."),
    ] = False,
) -> int:
    """Move a store from SQLite to PostgreSQL.

    With every item, key, dead letter and pause, so that no caller can tell. Stop the daemon first.
    The source is only read. Cut short, run it again: it goes on where it stopped. The password may
    come from PGPASSWORD or from the file that PGPASSFILE names.
    """
    # Only here, for the same reason as above.
    from tirelessd.cli.transfer import Order, carry_out  # noqa: PLC0415

    return carry_out(Order(source, target, is_dry_run, is_anew, allows_unsafe_durability))


@app.command()
def version() -> None:
    """Show the version."""
    sys.stdout.write(f"tirelessd {__version__}\n")
