"""`TIRELESSD_…` variables: what they set, what they cannot, and which are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings.documents import document, problems, token, with_queue
from tirelessd.settings import AuthSettings, HttpHandlerSettings, Settings, parse
from tirelessd.settings.environment import overlay, variable_of


def queue(name: str, **changes: object) -> dict[str, object]:
    """A queues section with one echo queue of that name."""
    return {name: {"handler": {"type": "echo"}, **changes}}


def test_variable_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable wins over the file's value, and leaves what stands beside it."""
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__SLOTS", "5")

    settings = parse(with_queue(slots=3, lease_seconds=7))

    assert (settings.queues["q"].slots, settings.queues["q"].lease_seconds) == (5, 7)


def test_variable_fills_what_the_file_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may stand for a setting that the file does not name."""
    monkeypatch.setenv("TIRELESSD_API__PORT", "9999")
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__RETRY__MAX_ATTEMPTS", "2")
    monkeypatch.setenv("TIRELESSD_DRAIN_SECONDS", "1.5")

    settings = parse(with_queue())

    assert settings.api.port == 9999
    assert settings.queues["q"].retry.max_attempts == 2
    assert settings.drain_seconds == 1.5


@pytest.mark.parametrize("name", ["my-queue", "my.queue", "my_queue", "a__b", "a-", "a_"])
def test_queue_of_any_name_has_variables(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Dashes, dots and runs of underscores in a queue's name do not hide it."""
    monkeypatch.setenv(variable_of(("queues", name, "slots")), "5")

    settings = parse(document(queues=queue(name)))

    assert settings.queues[name].slots == 5


def test_longer_name_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue whose name begins with another's name and a delimiter keeps its own variables."""
    monkeypatch.setenv("TIRELESSD_QUEUES__A__B__SLOTS", "5")

    settings = parse(document(queues={**queue("a"), **queue("a__b")}))

    assert (settings.queues["a"].slots, settings.queues["a__b"].slots) == (20, 5)


def test_ambiguous_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that could stand for two queues is an error that names both."""
    monkeypatch.setenv("TIRELESSD_QUEUES__MY_QUEUE__SLOTS", "5")

    lines = problems(document(queues={**queue("my-queue"), **queue("my_queue")}))

    assert lines == [
        (
            "TIRELESSD_QUEUES__MY_QUEUE__SLOTS: could stand for my-queue or my_queue:"
            " rename one, or set it in the file"
        )
    ]


def test_text_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the setting is text, nothing in the value is read as YAML."""
    monkeypatch.setenv("TIRELESSD_API__HOST", "1")
    monkeypatch.setenv("TIRELESSD_AUTH", "none")
    monkeypatch.setenv("TIRELESSD_QUEUES__PREDICTIONS__HANDLER__URL", "http://[::1]/#")

    lines = problems(document())

    assert lines == [
        (
            "queues.predictions.handler.url: must be a URL without spaces and without a fragment,"
            " set by TIRELESSD_QUEUES__PREDICTIONS__HANDLER__URL"
        )
    ]


def test_list_is_given_as_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is replaced as a whole, written as YAML."""
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__RETRY__RETRY_ON", "[404, TimeoutError]")

    settings = parse(with_queue(retry={"retry_on": [500]}))

    assert settings.queues["q"].retry.retry_on == (404, "TimeoutError")


def test_section_replaces_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section given as YAML takes the place of the file's; a deeper variable still wins."""
    monkeypatch.setenv("TIRELESSD_QUEUES__PREDICTIONS__HANDLER", "{type: echo}")
    monkeypatch.setenv("TIRELESSD_QUEUES__PREDICTIONS__HANDLER__ATTEMPT_TIMEOUT_SECONDS", "3")

    settings = parse(document())

    assert settings.queues["predictions"].handler.type == "echo"
    assert settings.queues["predictions"].handler.attempt_timeout_seconds == 3


def test_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything in the file, variables make a whole configuration."""
    monkeypatch.setenv("TIRELESSD_STORE", "sqlite:./t.db")
    monkeypatch.setenv("TIRELESSD_QUEUES", "{q: {handler: {type: echo}}}")
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__SLOTS", "2")

    settings = parse({})

    assert settings.queues["q"].slots == 2


def test_auth_word_replaces_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` may stand where the file has tokens."""
    monkeypatch.setenv("TIRELESSD_AUTH", "none")

    settings = parse(document(auth={"tokens": [token()]}))

    assert settings.auth == "none"


def test_tokens_replace_auth_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens may stand where the file says `none`."""
    monkeypatch.setenv("TIRELESSD_AUTH__TOKENS", f"[{token()}]")

    settings = parse(document(auth="none"))

    assert isinstance(settings.auth, AuthSettings)
    assert [each.name for each in settings.auth.tokens] == ["shop"]


def test_secret_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`…__FILE` names the file that holds the value, its last line end left out."""
    secret = tmp_path / "store"
    secret.write_text("sqlite:./secret.db\n", encoding="utf-8")
    monkeypatch.setenv("TIRELESSD_STORE__FILE", str(secret))

    settings = parse(document())

    assert settings.store == "sqlite:./secret.db"


def test_configured_header_is_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that the file names can be given its value by a variable."""
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__HANDLER__HEADERS__X_API_KEY", "s3cret")
    handler = {"type": "http", "url": "http://h/", "headers": {"x-api-key": "unset"}}

    settings = parse(with_queue(handler=handler))

    changed = settings.queues["q"].handler
    assert isinstance(changed, HttpHandlerSettings)
    assert changed.headers["x-api-key"].get_secret_value() == "s3cret"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TIRELESSD_DRAIN_SECOND", "1", "DRAIN_SECOND is unknown; did you mean DRAIN_SECONDS?"),
        ("TIRELESSD_API__HOTS", "x", "HOTS is unknown; did you mean HOST?"),
        (
            "TIRELESSD_API_PORT",
            "1",
            "API_PORT is unknown; known here: STORE, STORE_POSTGRESQL",
        ),
        ("TIRELESSD_QUEUES__PREDICTION__SLOTS", "1", "did you mean PREDICTIONS?"),
        ("TIRELESSD_QUEUES__PREDICTIONS__SLOTS__X", "1", "X is unknown; nothing can stand there"),
        ("TIRELESSD_", "1", "stands for no setting"),
        ("TIRELESSD_API__", "{}", "stands for no setting"),
        ("TIRELESSD_STORE__PATH", "x", "PATH is unknown; known here: FILE"),
        ("TIRELESSD_API__PORT", "[", "line 1, column 2: expected the node content"),
        ("TIRELESSD_API", "{port: 1, port: 2}", "line 1, column 11: 'port' is given twice"),
    ],
)
def test_unknown_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A variable of ours that fits nothing is an error naming it, with what was near."""
    monkeypatch.setenv(variable, value)

    (line,) = problems(document())

    assert line.startswith(f"{variable}: ")
    assert message in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIRELESSD_CONFIG", "tirelessd.yaml"),
        ("TIRELESSD_DEBUG", "1"),
        ("TIRELESSD_REVISION", "719c83c"),
        ("TIRELESSD_SERVICE_HOST", "10.0.0.1"),
        ("TIRELESSD_SERVICE_PORT", "8080"),
        ("TIRELESSD_SERVICE_PORT_HTTP", "8080"),
        ("TIRELESSD_PORT", "tcp://10.0.0.1:8080"),
        ("TIRELESSD_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TIRELESSD_PORT_8080_TCP_PROTO", "tcp"),
        ("TIRELESSD_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TIRELESSD_OPS_SERVICE_HOST", "10.0.0.1"),
        ("TIRELESSD_OPS_PORT_9090_TCP_PORT", "9090"),
        ("TIRELESSDX", "1"),
        ("OTHER_API__PORT", "1"),
    ],
)
def test_foreign_variable_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Variables of the command line and of Kubernetes' service links are not settings."""
    monkeypatch.setenv(variable, value)

    lines = problems(document())

    assert lines == []


def test_all_unknown_variables_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable that fits nothing is a problem of its own."""
    monkeypatch.setenv("TIRELESSD_A", "1")
    monkeypatch.setenv("TIRELESSD_B", "1")

    lines = problems(document())

    assert [line.partition(":")[0] for line in lines] == ["TIRELESSD_A", "TIRELESSD_B"]


def test_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is out of bounds is told with the variable it came from."""
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__SLOTS", "0")

    lines = problems(with_queue(slots=3))

    assert lines == [
        "queues.q.slots: must be at least 1 (got 0), set by TIRELESSD_QUEUES__Q__SLOTS"
    ]


def test_bad_value_of_a_dotted_queue_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dot in a queue's name does not hide where a value came from."""
    monkeypatch.setenv("TIRELESSD_QUEUES__SHOP_IMAGES__SLOTS", "0")

    lines = problems(document(queues=queue("shop.images")))

    assert lines == [
        (
            "queues.shop.images.slots: must be at least 1 (got 0),"
            " set by TIRELESSD_QUEUES__SHOP_IMAGES__SLOTS"
        )
    ]


def test_overlay_leaves_the_document_alone() -> None:
    """Laying variables over a document makes a new one."""
    given = with_queue(slots=3)

    laid = overlay(Settings, given, {"TIRELESSD_QUEUES__Q__SLOTS": "5"})

    assert given == with_queue(slots=3)
    assert laid == with_queue(slots=5)


@given(
    names=st.lists(
        st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True),
        min_size=1,
        max_size=5,
        unique_by=lambda name: name.replace("-", "_").replace(".", "_"),
    ),
    chosen=st.integers(0, 4),
)
def test_every_queue_can_be_reached(names: list[str], chosen: int) -> None:
    """Whatever the queues are called, a variable made for one sets that one and no other."""
    name = names[chosen % len(names)]
    given_queues = {each: {"slots": 1} for each in names}

    laid = overlay(
        Settings, {"queues": given_queues}, {variable_of(("queues", name, "slots")): "2"}
    )

    assert laid["queues"] == {each: {"slots": 2 if each == name else 1} for each in names}
