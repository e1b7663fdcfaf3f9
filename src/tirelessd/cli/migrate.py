"""`migrate`: brings the schema of the configured store up, or tells what it lacks."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from asyncpg import Connection, Record

from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import StartError, StoreUnavailable
from tirelessd.parts import postgres_config
from tirelessd.settings import Settings
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.connect import connect
from tirelessd.store.postgres.faults import start_error
from tirelessd.store.postgres.migrate import bring_up, latest, migrations, schema_of
from tirelessd.store.postgres.pools import leave
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.sqlite.held import versions

FITS = 0
LACKS = 1


def carry_out(settings: Settings, *, is_check: bool) -> int:
    """Migrate, or look, and say what was or is to be done; 0 when the schema fits, 1 when not.

    Raises `StartError`, or `StoreUnavailable` for a store that is out of reach or in use.
    """
    try:
        if settings.is_shared:
            return asyncio.run(_shared(postgres_config(settings), is_check=is_check))
        path = Path(os.path.realpath(settings.store_path))
        return _look(path) if is_check else asyncio.run(_embedded(path))
    except (StartError, StoreUnavailable) as error:
        # As the daemon's start names the setting.
        error.args = (f"store: {error}",)
        raise


async def _shared(config: PostgresConfig, *, is_check: bool) -> int:
    place = f"PostgreSQL at {config.place}"
    try:
        connection = await connect(config, config.direct_url or config.url)
        try:
            return await (_compare if is_check else _apply)(connection, place)
        finally:
            await leave(connection)
    except Exception as error:
        raise start_error(error, config.place) from error


async def _apply(connection: Connection[Record], place: str) -> int:
    for step in await bring_up(connection, is_migrating=True):
        say(f"{place}: applied {step.version:04} {step.name}")
    say(f"{place}: the schema has version {latest()}, as this tirelessd needs it")
    return FITS


async def _compare(connection: Connection[Record], place: str) -> int:
    async with connection.transaction(readonly=True):
        schema = await schema_of(connection)
    missing = [step for step in migrations() if step.version > schema.version]
    if not missing:
        await bring_up(connection, is_migrating=False)
        say(f"{place}: the schema has version {schema.version}, and this tirelessd can use it")
        return FITS
    for step in missing:
        say(f"{place}: {step.version:04} {step.name} is missing")
    return LACKS


async def _embedded(path: Path) -> int:
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    await store.close()
    version, _ = versions(path, SystemClock().monotonic)
    say(f"{path}: the schema has version {version}, as this tirelessd needs it")
    return FITS


def _look(path: Path) -> int:
    if not path.exists():
        say(f"{path} is not there; the first start makes it")
        return LACKS
    version, needed = versions(path, SystemClock().monotonic)
    if version < needed:
        say(f"{path}: the schema has version {version}, and {needed} is needed")
        return LACKS
    say(f"{path}: the schema has version {version}, and this tirelessd can use it")
    return FITS


def say(line: str) -> None:
    """Tell whoever asked."""
    sys.stdout.write(f"{line}\n")
