"""The parts of a daemon, each made from the settings that concern it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, assert_never

from tirelessd import __version__
from tirelessd.api.auth import Auth, Token
from tirelessd.api.limits import Limits
from tirelessd.core.clock import Clock
from tirelessd.core.events import Emit
from tirelessd.engine.handlers.base import Handler
from tirelessd.engine.handlers.echo import EchoHandler
from tirelessd.engine.handlers.http import HttpConfig, HttpHandler
from tirelessd.engine.handlers.python import PythonHandler
from tirelessd.settings import (
    AuthSettings,
    EchoHandlerSettings,
    HttpHandlerSettings,
    PythonHandlerSettings,
    QueueSettings,
    Settings,
)
from tirelessd.store.base import Store
from tirelessd.store.postgres.config import PostgresConfig

if TYPE_CHECKING:
    from tirelessd.observe.tracing.setup import Tracing


def make_tracing(settings: Settings, emit: Emit) -> Tracing:
    """What traces."""
    # Only here: OpenTelemetry is an extra, and takes a third of a second to import.
    from tirelessd.observe.tracing.setup import Tracing, TracingConfig  # noqa: PLC0415

    tracing = settings.tracing
    config = TracingConfig(
        endpoint=tracing.endpoint,
        headers={name: value.get_secret_value() for name, value in tracing.headers.items()},
        service_name=tracing.service_name,
        version=__version__,
        pod=os.uname().nodename,
        sample_ratio=tracing.sample_ratio,
        horizon_seconds=tracing.horizon_seconds,
        relations={queue.name: queue.trace_relation for queue in settings.queue_configs},
    )
    return Tracing(config, emit)


def make_store(settings: Settings, clock: Clock, emit: Emit) -> Store:
    """What keeps the items, not yet opened."""
    # Only what is wanted: a driver takes a tenth of a second to import, and a laptop needs one.
    if settings.is_shared:
        from tirelessd.store.postgres.pools import PostgresPools  # noqa: PLC0415
        from tirelessd.store.postgres.store import PostgresStore  # noqa: PLC0415

        pools = PostgresPools(postgres_config(settings), clock, emit)
        return PostgresStore(pools, clock=clock, emit=emit)
    from tirelessd.store.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(settings.store_path, clock=clock, emit=emit)


def postgres_config(settings: Settings) -> PostgresConfig:
    """The shared store's own value of its settings."""
    given = settings.store_postgresql
    return PostgresConfig(
        url=settings.store,
        direct_url=given.direct_url,
        password=given.password.get_secret_value() if given.password is not None else None,
        intake_connections=given.connections.intake,
        slots_connections=given.connections.slots,
        upkeep_connections=given.connections.upkeep,
        read_connections=given.connections.reads,
        connect_timeout_seconds=given.connect_timeout_seconds,
        statement_cache=given.statement_cache,
        is_migrating=given.migrate_at_start,
        allows_unsafe_durability=given.allow_unsafe_durability,
    )


def make_limits(settings: Settings) -> Limits:
    """The API's bounds."""
    return Limits(**dict(settings.limits))


def make_auth(settings: Settings) -> Auth:
    """Who may call: nobody is asked when there are no tokens."""
    if not isinstance(settings.auth, AuthSettings):
        return Auth()
    return Auth(
        [
            Token(
                token.name,
                token.sha256.get_secret_value(),
                frozenset(token.scopes),
                frozenset(token.queues) if token.queues is not None else None,
            )
            for token in settings.auth.tokens
        ]
    )


def make_handler(queue: QueueSettings, clock: Clock, emit: Emit) -> Handler:
    """What attempts the items of a queue."""
    handler = queue.handler
    if isinstance(handler, HttpHandlerSettings):
        return HttpHandler(http_config(handler, queue.slots), clock, emit)
    if isinstance(handler, PythonHandlerSettings):
        return PythonHandler(handler.function, queue.slots)
    if isinstance(handler, EchoHandlerSettings):
        return EchoHandler()
    assert_never(handler)


def http_config(handler: HttpHandlerSettings, slots: int) -> HttpConfig:
    """The http handler's own value of its settings."""
    return HttpConfig(
        url=handler.url,
        headers={name: value.get_secret_value() for name, value in handler.headers.items()},
        forward_headers=handler.passed_headers,
        connect_timeout_seconds=handler.connect_timeout_seconds,
        read_timeout_seconds=handler.read_timeout_seconds,
        response_bytes=handler.response_bytes,
        attempt_timeout_seconds=handler.attempt_timeout_seconds,
        slots=slots,
        keepalive_seconds=handler.keepalive_seconds,
        ca_file=handler.ca_file,
        destination=handler.called,
    )
