"""The knobs of the daemon as a whole: shape, defaults, bounds, combinations, what people see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.settings.documents import DIGEST, document, problems, token, with_queue
from tirelessd.core.queue import QueueConfig
from tirelessd.settings import AuthSettings, Settings, SettingsError, parse

DESIGN = """
store: sqlite:///var/lib/tirelessd/tirelessd.db
api: {host: 127.0.0.1, port: 8080}
ops: {host: 127.0.0.1, port: 9090}
pre_drain_seconds: 5
drain_seconds: 30
log: {level: info, format: auto}
limits: {body_bytes: 1048576, batch_lines: 10000, batch_bytes: 33554432, connections: 8000,
         header_seconds: 10, body_seconds: 30}
auth: {tokens: [{name: shop, sha256: "%s", scopes: [submit, read]}]}
queues:
  predictions:
    handler: {type: http, url: "http://models:8000/predict", attempt_timeout_seconds: 30,
              forward_headers: [x-tenant]}
    slots: 20
    lease_seconds: 30
    retry: {max_attempts: 20, initial_seconds: 1, cap_seconds: 600, floor_seconds: 0.1,
            deadline_seconds: 86400, retry_after_cap_seconds: 3600}
    capacity_items: 1000000
    idempotency_seconds: 86400
    retention: {succeeded_seconds: 3600, cancelled_seconds: 3600, dead_seconds: 1209600,
                items: 1000000}
    slo: {wait_seconds: 10, end_to_end_seconds: 300, objective: 0.999}
  thumbnails:
    handler: {type: python, function: "shop.images:make_thumbnail"}
"""


def test_whole_shape_is_read() -> None:
    """A configuration that names every section is taken, and its values are the defaults."""
    settings = parse(yaml.safe_load(DESIGN % DIGEST))

    assert settings.limits == parse(document()).limits
    assert settings.queues["predictions"].retry == settings.queues["thumbnails"].retry
    assert settings.queues["predictions"].retention == settings.queues["thumbnails"].retention
    assert settings.queues["predictions"].slo is not None


def test_least_configuration_is_a_store_and_a_queue() -> None:
    """Everything but the store, the queues and their handlers has a default."""
    settings = parse(with_queue())

    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 8080)
    assert (settings.ops.host, settings.ops.port) == ("127.0.0.1", 9090)
    assert settings.drain_seconds == 30
    assert (settings.log.level, settings.log.format) == ("info", "auto")
    assert settings.auth == AuthSettings()


def test_defaults_are_those_of_the_layers_below() -> None:
    """A queue that says nothing is what the core takes a queue to be."""
    settings = parse(with_queue())

    assert settings.queue_configs == (QueueConfig(name="q", handler_type="echo"),)


@pytest.mark.parametrize(
    ("host", "seconds"),
    [("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 5), ("10.0.0.7", 5)],  # noqa: S104
)
def test_pre_drain_is_zero_on_loopback(host: str, seconds: float) -> None:
    """Intake goes on for five seconds at shutdown where others can connect, else not at all."""
    settings = parse(document(api={"host": host}, auth="none"))

    assert settings.pre_drain_seconds == seconds


def test_pre_drain_can_be_said() -> None:
    """What is said counts, on loopback too."""
    settings = parse(document(pre_drain_seconds=1))

    assert settings.pre_drain_seconds == 1


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/t.db", "/var/lib/t.db"),
        ("sqlite:////var/lib/t.db", "/var/lib/t.db"),
        ("sqlite:./t.db", "t.db"),
        ("sqlite:../data/t.db", "../data/t.db"),
        ("sqlite:t.db", "t.db"),
    ],
)
def test_store_url_names_a_file(url: str, path: str) -> None:
    """Three and four slashes are an absolute path, none a relative one."""
    settings = parse(document(store=url))

    assert settings.store_path == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:/t.db",
        "sqlite://host/t.db",
        "sqlite:./dir/",
        "sqlite::memory:",
        "sqlite:///t.db?mode=ro",
        "sqlite:./t\0.db",
        "mysql://host/db",
        "t.db",
        "",
    ],
)
def test_other_store_url_is_refused(url: str) -> None:
    """What names no file is refused, without repeating it."""
    lines = problems(document(store=url))

    [line] = lines
    assert line == (
        "store: must be sqlite:///absolute/path/to/file.db, sqlite:./relative/path/to/file.db or "
        "postgresql://user@host/database"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:s3cret@db/tirelessd",
        "postgres://shop@db-1:5432,db-2:5432/tirelessd?target_session_attrs=read-write",
        "postgresql:///tirelessd?host=/run/postgresql&port=05433",
        "postgresql://shop@[::1]:5432/tirelessd?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    ],
)
def test_store_url_names_a_database(url: str) -> None:
    """With one word changed, the items are where many daemons can share them."""
    settings = parse(document(store=url))

    assert settings.is_shared
    assert settings.store == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://shop:s3cret@db", "must name a host and a database"),
        ("postgresql://shop:s3cret@db/", "must name a host and a database"),
        ("postgresql:///tirelessd", "must name a host and a database"),
        ("postgresql:tirelessd", "must be postgresql://"),
        ("postgresql://shop:s3cret@db/a/b", "must be postgresql://"),
        ("postgresql://shop:s3#cret@db/tirelessd", "must be postgresql://"),
        ("postgresql://[s3cret/tirelessd", "must be postgresql://"),
        ("postgresql://db/tirelessd?password=s3cret", "must have no other options than host"),
        ("postgresql://db/tirelessd?fsync", "must be postgresql://"),
        ("postgresql://shop:s3cret@db:65537/tirelessd", "must have ports from 1 to 65535"),
        ("postgresql://shop:s3cret@[::1]:0/tirelessd", "must have ports from 1 to 65535"),
        ("postgresql://db,db-2:-1/tirelessd", "must have ports from 1 to 65535"),
        ("postgresql://db/tirelessd?port=5432,1e3", "must have ports from 1 to 65535"),
    ],
)
def test_url_of_no_database_is_refused(url: str, said: str) -> None:
    """One line says what is missing, and no part of what may be a password."""
    [line] = problems(document(store=url))

    assert line.startswith(f"store: {said}")
    assert "s3" not in line


def test_password_of_a_store_is_not_shown() -> None:
    """Neither the one in the URL nor any other, in what `tirelessd check` prints."""
    shared = {"direct_url": "postgresql://shop:s3cret@db/shop", "password": "s3cret"}
    given = document(store="postgresql://shop:s3cret@db/shop", store_postgresql=shared)

    settings = parse(given)

    assert settings.shown["store"] == "postgresql://shop:**********@db/shop"
    assert "s3cret" not in str(settings.shown)
    assert (
        settings.fingerprint
        == parse({**given, "store": "postgresql://shop:new@db/shop"}).fingerprint
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "models.internal"])  # noqa: S104
def test_open_address_needs_tokens(host: str) -> None:
    """Beyond loopback the API has tokens, or says that it wants none."""
    open_api = {"host": host}

    lines = problems(document(api=open_api))

    assert lines == [
        (
            "api.host: must be loopback as long as there are no auth.tokens;"
            " say auth: none to serve everybody who can connect"
        )
    ]
    assert problems(document(api=open_api, auth="none")) == []
    assert problems(document(api=open_api, auth={"tokens": [token()]})) == []


def test_ops_may_listen_anywhere() -> None:
    """The listener of metrics has no tokens, so none are asked for."""
    lines = problems(document(ops={"host": "0.0.0.0"}))  # noqa: S104

    assert lines == []


def test_listeners_need_two_ports() -> None:
    """Both listeners on one address is refused, unless the system picks the ports."""
    lines = problems(document(ops={"port": 8080}))

    assert lines == ["ops.port: must differ from api.port (both are 8080)"]
    assert problems(document(api={"port": 0}, ops={"port": 0})) == []


@pytest.mark.parametrize("limits", [{"held_bytes": 1_000}, {"body_bytes": 268_435_456}])
def test_one_body_fits_into_what_is_held(limits: dict[str, int]) -> None:
    """A limit on all bodies together that the largest one breaks would refuse it forever."""
    lines = problems(document(limits={"batch_bytes": 2_000, "held_bytes": 1_500, **limits}))

    assert len(lines) == 1
    assert lines[0].startswith("limits.held_bytes: must hold one body at least, which may have ")


def test_name_may_stand_for_two_tokens() -> None:
    """Two live tokens of one caller allow a rotation; a third is forgotten, not needed."""
    two = [token(sha256=digit * 64) for digit in "ab"]

    lines = problems(document(auth={"tokens": [*two, token(sha256="c" * 64)]}))

    assert problems(document(auth={"tokens": two})) == []
    assert lines == [
        f"auth.tokens[{index}].name: must not stand for more than 2 tokens" for index in range(3)
    ]


def test_digest_stands_for_one_token() -> None:
    """The same token under two names would make its caller unknown."""
    lines = problems(document(auth={"tokens": [token(), token(name="other")]}))

    assert lines == [
        f"auth.tokens[{index}].sha256: must not stand for another token as well"
        for index in range(2)
    ]


def test_digest_is_read_in_either_case() -> None:
    """Upper-case hexadecimal is the same digest."""
    settings = parse(document(auth={"tokens": [token(sha256=DIGEST.upper())]}))

    assert isinstance(settings.auth, AuthSettings)
    assert settings.auth.tokens[0].sha256.get_secret_value() == DIGEST


def test_token_names_configured_queues() -> None:
    """A token for a queue that is not configured is a typo."""
    lines = problems(document(auth={"tokens": [token(queues=["predictions", "prediction"])]}))

    assert lines == ["auth.tokens[0].queues: must name configured queues (got 'prediction')"]


def test_combinations_hold_for_made_settings_too() -> None:
    """Settings made in code cannot contradict themselves either."""
    values: dict[str, Any] = document(ops={"port": 8080})

    with pytest.raises(ValidationError, match=r"ops\.port: must differ"):
        Settings(**values)


def test_settings_are_frozen() -> None:
    """Nothing changes a setting after the start."""
    settings = parse(document())

    with pytest.raises(ValidationError, match="frozen"):
        settings.drain_seconds = 1


def test_shown_settings_hide_secrets() -> None:
    """What people see is plain data in which no secret can be read."""
    handler = {
        "type": "http",
        "url": "http://models:8000/predict?key=s3cret",
        "headers": {"authorization": "Bearer s3cret"},
    }
    settings = parse(with_queue(handler=handler) | {"auth": {"tokens": [token()]}})

    shown = yaml.safe_dump(settings.shown)

    assert "s3cret" not in shown
    assert DIGEST not in shown
    assert settings.shown["queues"]["q"]["handler"]["url"] == (
        "http://models:8000/predict?**********"
    )


def test_shown_settings_without_secrets_can_be_read_again() -> None:
    """The effective configuration is a configuration, and the same one."""
    settings = parse(with_queue())

    again = parse(yaml.safe_load(yaml.safe_dump(settings.shown)))

    assert again == settings


def test_settings_print_no_secret() -> None:
    """Neither representation nor text of the settings shows a token's digest."""
    settings = parse(document(auth={"tokens": [token()]}))

    assert DIGEST not in repr(settings) + str(settings)


def test_fingerprint_tells_configurations_apart() -> None:
    """The same values have the same fingerprint, others another."""
    one, same, other = (parse(with_queue(slots=slots)) for slots in (1, 1, 2))

    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_roles_of_one_configuration_have_one_fingerprint() -> None:
    """Who accepts and who attempts differ in nothing that treats an item differently."""
    shared = parse({**with_queue(slots=1), "store": "postgresql://shop@db/shop"})

    assert shared.in_role("intake").fingerprint == shared.in_role("slots").fingerprint


def test_error_counts_the_other_problems() -> None:
    """The one line has the first problem and how many more there are."""
    with pytest.raises(SettingsError) as raised:
        parse({"store": "sqlite:./t.db", "drain_seconds": -1, "queues": {}})

    assert str(raised.value) == (
        "drain_seconds: must be at least 0 (got -1) (and 1 more; run tirelessd check)"
    )


SHARED = "postgresql://worker@db/tirelessd"


@pytest.mark.parametrize(
    ("role", "has_intake", "slots"), [("all", True, 20), ("intake", True, 0), ("slots", False, 20)]
)
def test_role_tells_what_a_process_does(role: str, has_intake: bool, slots: int) -> None:  # noqa: FBT001
    """One that only accepts has no slots, and one that has only slots opens no API."""
    settings = parse(document(role=role, store=SHARED))

    assert settings.has_intake is has_intake
    assert {queue.slots for queue in settings.queue_configs} == {slots}


def test_command_line_has_the_last_word_on_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for each process, where the settings and variables are everybody's."""
    monkeypatch.setenv("TIRELESSD_ROLE", "intake")

    settings = parse(document(role="all", store=SHARED), "slots")

    assert settings.role == "slots"


@pytest.mark.parametrize("role", ["intake", "slots"])
def test_embedded_store_has_one_process_only(role: Any) -> None:
    """Whoever asks for half of the work in a process is told why there is no such thing."""
    with pytest.raises(SettingsError, match=rf"^role: must be all .* \(got {role}\)"):
        parse(document(), role)
