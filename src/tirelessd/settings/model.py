"""The knobs of the daemon as a whole; those of a queue stand in `queue`."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec.structs import replace
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tirelessd.core.headers import header_name
from tirelessd.core.queue import QueueConfig
from tirelessd.settings.buckets import MetricsSettings
from tirelessd.settings.environment import EnvironmentSource
from tirelessd.settings.kinds import (
    POSTGRES_SCHEMES,
    HttpUrl,
    QueueName,
    SecretText,
    SettingsModel,
    StoreUrl,
    header_value,
    host_name,
    label,
    sha256_hex,
    sqlite_path,
)
from tirelessd.settings.postgres import PostgresSettings
from tirelessd.settings.problems import Contradictions, Problem
from tirelessd.settings.queue import QueueSettings

Host = Annotated[str, AfterValidator(host_name)]
Port = Annotated[int, Field(ge=0, le=65_535)]
PRE_DRAIN_SECONDS = 5.0
# An old and a new one, while callers change over; more are forgotten ones.
LIVE_TOKENS = 2


class ListenerSettings(SettingsModel):
    """Where a listener binds."""

    host: Host = "127.0.0.1"
    """The address or host name to bind. Loopback, so that nothing is open by accident."""

    port: Port
    """The TCP port; 0 takes any free one."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            # Any other name may lead anywhere, and elsewhere tomorrow.
            return self.host == "localhost"


class ApiSettings(ListenerSettings):
    """The listener of the intake and the read API."""

    port: Port = 8080
    """The TCP port; 0 takes any free one. 8080 is where people look for HTTP."""


class OpsSettings(ListenerSettings):
    """The listener of metrics and probes, which asks for no token."""

    port: Port = 9090
    """The TCP port; 0 takes any free one. Its own, so that a network policy can tell them apart."""

    last_scrape_seconds: Annotated[float, Field(ge=0, le=300)] = 0
    """How long a drain that had to abandon items waits for a scrape to take the news along, if
    there has ever been one. No time by default, for it comes on top of both waits of a shutdown;
    as long as the scrape interval makes sure of it."""


class LogSettings(SettingsModel):
    """What is logged, and how it looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written. At info an item that succeeds at once leaves no line, one
    that fails does."""

    format: Literal["auto", "console", "json"] = "auto"
    """Lines for people or for machines; auto is console on a terminal and JSON elsewhere."""


class TracingSettings(SettingsModel):
    """Traces, on OpenTelemetry. Contexts that callers send are handed on even without."""

    enabled: bool = False
    """Whether to trace; needs the extra, `tirelessd[tracing]`. Off by default: a trace needs a
    collector to go to, and five spans cost more than all else that is done about an item."""

    endpoint: HttpUrl = "http://127.0.0.1:4318/v1/traces"
    """Where spans are POSTed to, as OTLP over HTTP: the whole URL. By default a collector on the
    same host, on its usual port."""

    headers: Annotated[
        dict[
            Annotated[str, AfterValidator(header_name)],
            Annotated[SecretText, AfterValidator(header_value)],
        ],
        Field(max_length=32),
    ] = Field(default_factory=dict)
    """Headers for the collector, such as `authorization`. Each value is a secret: it is never
    shown, and may be given as `{file: /path}`."""

    service_name: Annotated[str, AfterValidator(label)] = "tirelessd"
    """What the collector knows these daemons by."""

    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Which share of the traces that begin here is kept; a caller that has decided is followed. All
    by default: who turns tracing on wants to see some."""

    horizon_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long after its acceptance an item's first attempt still belongs to the trace in which it
    was handed in. A minute later nobody has that trace open any more."""


class LimitsSettings(SettingsModel):
    """How much of anything one caller may ask for; beyond it the answer is a problem document."""

    body_bytes: Annotated[int, Field(ge=1, le=268_435_456)] = 1_048_576
    """The largest payload of one item. A mebibyte fits any prediction; larger things belong into an
    object store, with their address in the item."""

    batch_lines: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """The most lines of one batch; a commit takes 1 000, so this bounds the wait for the answer."""

    batch_bytes: Annotated[int, Field(ge=1, le=1_073_741_824)] = 33_554_432
    """The largest body of one batch. 32 MiB are held in memory while they are stored."""

    held_bytes: Annotated[int, Field(ge=1, le=68_719_476_736)] = 268_435_456
    """How much the bodies of all requests at work may take together; beyond it callers are asked to
    come back. A quarter of a gibibyte: eight full batches, in a container of half a gibibyte."""

    connections: Annotated[int, Field(ge=1, le=1_000_000)] = 8_000
    """The most connections at once. Each costs a descriptor and, idle, about ten kilobytes."""

    header_bytes: Annotated[int, Field(ge=8_192, le=1_048_576)] = 65_536
    """The largest headers of a request, all fields together; a single field may have 8 190 bytes.
    As much as common proxies pass on, or more."""

    header_seconds: Annotated[float, Field(gt=0, le=3_600)] = 10.0
    """How long a caller may take to send its headers. Honest ones take milliseconds; a dripping one
    must not hold a connection."""

    body_seconds: Annotated[float, Field(gt=0, le=3_600)] = 30.0
    """How long a caller may take to send its body: enough for a full batch at 10 Mbit/s."""

    idle_seconds: Annotated[float, Field(gt=0, le=3_600)] = 75.0
    """How long a connection is kept between two requests. Longer than the minute for which common
    load balancers keep theirs, so that none is closed under a request."""


class TokenSettings(SettingsModel):
    """One bearer token, known by its digest only."""

    name: Annotated[str, AfterValidator(label)]
    """Whose it is; for people. Two tokens of one name may live at once, so that one can replace the
    other without a gap."""

    sha256: Annotated[SecretText, AfterValidator(sha256_hex)]
    """The SHA-256 of the token, in hexadecimal; may be given as `{file: /path}`. The token itself
    should be random, of 128 bits or more."""

    scopes: Annotated[
        tuple[Literal["submit", "read", "operate"], ...], Field(strict=False, min_length=1)
    ]
    """What it may do: `submit` items and cancel them, `read`, `operate` (pause, resume, redrive,
    purge). No default: rights are given on purpose."""

    queues: Annotated[tuple[QueueName, ...], Field(strict=False, min_length=1)] | None = None
    """The queues it may touch; left out, all of them."""


class AuthSettings(SettingsModel):
    """Who may call the API."""

    tokens: Annotated[tuple[TokenSettings, ...], Field(strict=False, max_length=1_000)] = ()
    """The bearer tokens. Without any the API binds loopback only, unless `auth` is `none`."""


def _auth_tag(value: Any) -> str:
    return "none" if isinstance(value, str) else "tokens"


# One word for "nobody is asked", so that an open API is written down and never an omission.
Auth = Annotated[
    Annotated[Literal["none"], Tag("none")] | Annotated[AuthSettings, Tag("tokens")],
    Discriminator(_auth_tag),
]


# What tracing is made of; none of it is imported before it is wanted.
EXTRA = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def has_extra() -> bool:
    """Whether what tracing needs is installed."""
    try:
        return all(find_spec(module) is not None for module in EXTRA)
    except ImportError:  # raised where a package around the module is missing
        return False


def _pre_drain_seconds(data: dict[str, Any]) -> float:
    return 0.0 if data["api"].is_loopback else PRE_DRAIN_SECONDS


Role = Literal["all", "intake", "slots"]


class CanarySettings(SettingsModel):
    """An item of the daemon's own that goes the whole way, on a queue that nobody else sees."""

    interval_seconds: Annotated[float, Field(ge=1, le=3_600)] = 30.0
    """How often one is sent, and how long it may take. Twice a minute costs four commits, and tells
    of a stall within two minutes."""


class Settings(BaseSettings):
    """The whole configuration: the given values with the environment laid over them."""

    model_config = SettingsConfigDict(**SettingsModel.model_config)  # type: ignore[typeddict-item]  # a subset

    store: StoreUrl
    """Where items are kept: `sqlite:///absolute/path.db`, or `sqlite:./relative/path.db`, or
    `postgresql://user@host/database` for many daemons at once; may be given as `{file: /path}`. No
    default: data belongs where somebody wants it."""

    store_postgresql: PostgresSettings = PostgresSettings()
    """The shared store; none of it matters to an embedded one."""

    role: Role = "all"
    """What this process does: `intake` accepts and answers, and has no slots; `slots` attempts, and
    opens no API; `all` does both. Anything but `all` needs a shared store."""

    api: ApiSettings = ApiSettings()
    """The listener of the intake and the read API."""

    ops: OpsSettings = OpsSettings()
    """The listener of metrics and probes."""

    pre_drain_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        default_factory=_pre_drain_seconds
    )
    """How long, after the signal to stop, intake still answers 202 while load balancers learn of
    it. By default 5, which is what endpoints take to leave a cluster's rotation, and 0 when the API
    listens on loopback, where nobody balances."""

    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """How long running attempts get to finish at shutdown; the rest are released. As long as an
    attempt may take by default."""

    log: LogSettings = LogSettings()
    """What is logged, and how it looks."""

    tracing: TracingSettings = TracingSettings()
    """Traces, on OpenTelemetry. Contexts that callers send are handed on even without."""
    metrics: MetricsSettings = MetricsSettings()
    """What the metrics look like."""

    canary: CanarySettings | None = None
    """Whether an item of the daemon's own is sent through it now and then, so that an alert can
    tell of a silent stall. None by default: it writes while nobody asks for anything. A process
    without slots sends none."""

    limits: LimitsSettings = LimitsSettings()
    """How much of anything one caller may ask for."""

    auth: Auth = AuthSettings()
    """Who may call the API: its tokens, or the word `none` to serve everybody who can connect."""

    queues: Annotated[dict[QueueName, QueueSettings], Field(min_length=1, max_length=1_000)]
    """The queues by name; they exist only by being named here. A name has 1 to 63 lower-case
    letters, digits, `-`, `_` or `.`, the first a letter or digit."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """One source: the given values with the environment laid over them."""
        # A .env file and a folder of secrets would be further places to search for a value.
        del env_settings, dotenv_settings, file_secret_settings
        given = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        return (EnvironmentSource(settings_cls, given),)

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        self.check()
        return self

    def check(self) -> None:
        """Raise `Contradictions`, all at once and each with its path, where settings do not fit."""
        if problems := [*self._contradictions()]:
            raise Contradictions(problems)

    @property
    def is_shared(self) -> bool:
        """Whether the store is one that several daemons may share."""
        return self.store.startswith(POSTGRES_SCHEMES)

    @property
    def store_path(self) -> Path:
        """The embedded store's file."""
        return sqlite_path(self.store)

    @property
    def has_intake(self) -> bool:
        """Whether this process opens the API."""
        return self.role != "slots"

    @property
    def has_slots(self) -> bool:
        """Whether this process makes attempts."""
        return self.role != "intake"

    @property
    def canary_seconds(self) -> float | None:
        """How often this process sends itself a canary; None where it sends none."""
        return self.canary.interval_seconds if self.canary and self.has_slots else None

    @property
    def queue_configs(self) -> tuple[QueueConfig, ...]:
        """The queues as the layers below know them; without slots in a process that has none."""
        configs = tuple(queue.config(name) for name, queue in self.queues.items())
        return configs if self.has_slots else tuple(replace(each, slots=0) for each in configs)

    @property
    def shown(self) -> dict[str, Any]:
        """The effective values as people may see them: plain data, every secret masked."""
        return self.model_dump(mode="json")

    @property
    def fingerprint(self) -> str:
        """Twelve digits that tell one configuration from another, whatever its secrets and role."""
        return sha256(self.model_dump_json(exclude={"role"}).encode()).hexdigest()[:12]

    def in_role(self, role: Role) -> Self:
        """The same settings in another role; raises `Contradictions`."""
        # Not made anew: the environment would be laid over what was asked for.
        changed = self.model_copy(update={"role": role})
        changed.check()
        return changed

    def _contradictions(self) -> Iterator[Problem]:
        for name, queue in self.queues.items():
            yield from queue.contradictions(f"queues.{name}", self.metrics.buckets)
        if self.role != "all" and not self.is_shared:
            message = "must be all with an embedded store, which no other process can open"
            yield Problem("role", f"{message} (got {self.role})")
        if (self.api.host, self.api.port) == (self.ops.host, self.ops.port) and self.api.port:
            yield Problem("ops.port", f"must differ from api.port (both are {self.ops.port})")
        largest = max(self.limits.body_bytes, self.limits.batch_bytes)
        if self.limits.held_bytes < largest:
            message = f"must hold one body at least, which may have {largest} bytes"
            yield Problem("limits.held_bytes", f"{message} (got {self.limits.held_bytes})")
        if self.tracing.enabled and not has_extra():
            message = (
                "needs OpenTelemetry, which the extra brings: pip install 'tirelessd[tracing]'"
            )
            yield Problem("tracing.enabled", message)
        if isinstance(self.auth, AuthSettings):
            yield from self._auth_contradictions(self.auth)

    def _auth_contradictions(self, auth: AuthSettings) -> Iterator[Problem]:
        if not auth.tokens and not self.api.is_loopback:
            message = (
                "must be loopback as long as there are no auth.tokens; say auth: none to serve"
            )
            yield Problem("api.host", f"{message} everybody who can connect")
        uses = Counter(token.name for token in auth.tokens)
        # With one digest under two names, nobody could say whose call it was.
        digests = Counter(token.sha256.get_secret_value() for token in auth.tokens)
        for index, token in enumerate(auth.tokens):
            path = f"auth.tokens[{index}]"
            if uses[token.name] > LIVE_TOKENS:
                yield Problem(f"{path}.name", f"must not stand for more than {LIVE_TOKENS} tokens")
            if digests[token.sha256.get_secret_value()] > 1:
                yield Problem(f"{path}.sha256", "must not stand for another token as well")
            for unknown in sorted(set(token.queues or ()) - set(self.queues)):
                yield Problem(f"{path}.queues", f"must name configured queues (got {unknown!r})")
