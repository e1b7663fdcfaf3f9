"""The settings file: what is read, and what is refused before any setting is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tirelessd.settings import SettingsError, load
from tirelessd.settings.document import FILE_BYTES, read_document

COMPLETE = b"store: sqlite:./t.db\nqueues: {q: {handler: {type: echo}}}\n"


def refusal(path: Path) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(SettingsError) as raised:
        read_document(path)
    return str(raised.value)


def test_file_becomes_settings(tmp_path: Path) -> None:
    """What the file says is what the settings hold."""
    path = tmp_path / "tirelessd.yaml"
    path.write_bytes(COMPLETE)

    settings = load(path)

    assert settings.store_path == Path("t.db")
    assert list(settings.queues) == ["q"]


def test_empty_file_misses_its_settings(tmp_path: Path) -> None:
    """An empty file, or one of comments, is a configuration without settings."""
    path = tmp_path / "tirelessd.yaml"
    path.write_bytes(b"# later\n")

    with pytest.raises(SettingsError) as raised:
        load(path)

    assert [problem.setting for problem in raised.value.problems] == ["store", "queues"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is named, with what to do."""
    path = tmp_path / "absent.yaml"

    line = refusal(path)

    assert line == (
        f"{path}: cannot be read: no such file; name another with --config or TIRELESSD_CONFIG"
    )


def test_folder_is_no_file(tmp_path: Path) -> None:
    """A folder in the file's place is refused in one line."""
    line = refusal(tmp_path)

    assert line == f"{tmp_path}: cannot be read: Is a directory"


def test_path_through_a_file_cannot_be_read(tmp_path: Path) -> None:
    """The system's own reason is told when a file cannot be opened."""
    (tmp_path / "file").touch()

    line = refusal(tmp_path / "file" / "tirelessd.yaml")

    assert line.endswith("cannot be read: Not a directory")


def test_null_byte_is_no_path() -> None:
    """A path that no system has is refused like any other."""
    line = refusal(Path("tirelessd\0.yaml"))

    assert line.endswith("cannot be read: not a path")


def test_endless_file_is_read_to_a_bound() -> None:
    """A file without end is refused after so many bytes."""
    line = refusal(Path("/dev/zero"))

    assert line == f"/dev/zero: is larger than {FILE_BYTES} bytes"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"store: a: b\n", "line 1, column 9: mapping values are not allowed here"),
        (
            b"queues:\n\tq: 1\n",
            "line 2, column 1: found character '\\t' that cannot start any token",
        ),
        (b"a: [1,\n", "line 2, column 1: expected the node content, but found '<stream end>'"),
        (b"store: x\napi: {}\nstore: y\n", "line 3, column 1: 'store' is given twice"),
        (b"api: {port: 1, port: 2}\n", "line 1, column 16: 'port' is given twice"),
        (b"queues:\n  on: {}\n", "line 2, column 3: a key must be text: put it into quotes"),
        (b"7: x\n", "line 1, column 1: a key must be text: put it into quotes"),
        (b"? [a]\n: x\n", "line 1, column 3: a key must be text: put it into quotes"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1: but found another document"),
        (b"a: *nowhere\n", "line 1, column 4: found undefined alias 'nowhere'"),
        (
            b"a: !!python/object:os.system x\n",
            (
                "line 1, column 4: could not determine a constructor for the tag"
                " 'tag:yaml.org,2002:python/object:os.system'"
            ),
        ),
        (b"a: \xff\xfe\n", "is not YAML in UTF-8"),
        (b"a: \x00\n", "is not YAML in UTF-8"),
        (b"a: 2026-13-45\n", "has a number or a date that cannot be read"),
        (b"a: " + b"[" * 5_000, "is nested too deeply"),
        (b"just text\n", "must be a mapping of settings, such as `store: sqlite:///…`"),
        (b"- a\n- b\n", "must be a mapping of settings, such as `store: sqlite:///…`"),
    ],
)
def test_unreadable_file_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    """What is no settings file is refused in one line: the file, the place, the reason."""
    path = tmp_path / "tirelessd.yaml"
    path.write_bytes(content)

    line = refusal(path)

    assert line == f"{path}: {message}"


def test_sections_can_be_shared(tmp_path: Path) -> None:
    """YAML's anchors and merge keys work, and what is merged in may be given anew."""
    path = tmp_path / "tirelessd.yaml"
    path.write_bytes(
        b"store: sqlite:./t.db\n"
        b"queues:\n"
        b"  a: &lane {handler: {type: echo}, slots: 3, lease_seconds: 7}\n"
        b"  b: {<<: *lane, slots: 4}\n"
    )

    settings = load(path)

    assert (settings.queues["a"].slots, settings.queues["b"].slots) == (3, 4)
    assert settings.queues["b"].lease_seconds == 7
