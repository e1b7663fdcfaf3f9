"""The program as its caller sees it: exit codes, one line on stderr, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from tirelessd import __version__
from tirelessd.cli import program
from tirelessd.core.errors import StartError

DEADLINE_SECONDS = 20


def run(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own; fails after `DEADLINE_SECONDS`."""
    return subprocess.run(
        [sys.executable, "-m", "tirelessd", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command `fail` be one that raises this error."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.callback()
    def nothing() -> None:
        """Make a group of it."""

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(program, "app", app)


def test_program_runs_as_a_module() -> None:
    """`python -m tirelessd` is the program, and its version is the package's."""
    ended = run("version")

    assert (ended.returncode, ended.stdout) == (0, f"tirelessd {__version__}\n")


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version_is_shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command and an option show the version."""
    code = program.run(arguments)

    assert (code, capsys.readouterr().out) == (0, f"tirelessd {__version__}\n")


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments, or when asked, the program tells what it can do."""
    code = program.run(arguments)

    shown = capsys.readouterr().out
    assert code == 0
    assert all(name in shown for name in ("serve", "check", "demo", "healthcheck", "version"))


def test_help_fits_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """No command's short help is cut off."""
    program.run(["--help"])

    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["chek"], "check"),
        (["check", "--confg", "x"], "--confg"),
        (["check", "surplus"], "surplus"),
        (["demo", "--items", "0"], "--items"),
        (["demo", "--items", "ten"], "--items"),
        (["demo", "--slots", "5000"], "--slots"),
        (["demo", "--failure-rate", "1"], "--failure-rate"),
        (["demo", "--seed", "-1"], "--seed"),
        (["healthcheck", "--timeout-seconds", "0"], "--timeout-seconds"),
    ],
)
def test_bad_command_line_is_one_line(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command line does not know is named in one line, exit code 2."""
    code = program.run(arguments)

    lines = capsys.readouterr().err.splitlines()
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("tirelessd: ")
    assert word in lines[0]


def test_check_shows_the_effective_configuration(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value is there, defaults and variables included, and can be read again."""
    monkeypatch.setenv("TIRELESSD_QUEUES__Q__SLOTS", "7")

    code = program.run(["check", "--config", str(config)])

    shown = yaml.safe_load(capsys.readouterr().out)
    assert code == 0
    assert shown["queues"]["q"]["slots"] == 7
    assert shown["queues"]["q"]["retry"]["max_attempts"] == 20


def test_check_masks_secrets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A token's digest and a configured header are not shown."""
    digest = "0123456789abcdef" * 4
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["auth"] = {"tokens": [{"name": "shop", "sha256": digest, "scopes": ["read"]}]}
    values["queues"]["q"]["handler"] = {
        "type": "http",
        "url": "http://models/predict?key=s3cret",
        "headers": {"authorization": "Bearer s3cret"},
    }
    config.write_text(yaml.safe_dump(values), encoding="utf-8")

    code = program.run(["check", "--config", str(config)])

    shown = capsys.readouterr().out
    assert code == 0
    assert "authorization: '**********'" in shown
    assert digest not in shown
    assert "s3cret" not in shown


def test_check_tells_every_problem(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is wrong is listed, one a line."""
    config.write_text("store: sqlite:./t.db\ndrain_seconds: -1\nqueues: {}\n", encoding="utf-8")

    code = program.run(["check", "--config", str(config)])

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.splitlines() == [
        "tirelessd: drain_seconds: must be at least 0 (got -1)",
        "tirelessd: queues: must not be empty",
    ]


def test_configuration_is_named_by_a_variable(
    folder: Path,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`TIRELESSD_CONFIG` stands for `--config`."""
    monkeypatch.setenv("TIRELESSD_CONFIG", str(config.rename(folder / "other.yaml")))

    code = program.run(["check"])

    assert (code, capsys.readouterr().err) == (0, "")


def test_configuration_stands_in_the_working_directory(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a name it is the `tirelessd.yaml` that is here."""
    code = program.run(["check"])

    assert config.name == "tirelessd.yaml"
    assert (code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no such file; name another with --config or TIRELESSD_CONFIG"),
        ("store: sqlite:./t.db\nslots: 3\n", "slots: unknown setting"),
        ("store: sqlite:./t.db\nqueues: [q]\n", "queues: must be a mapping (got a list)"),
        ("store: {file: ./no-such-secret}\n", "store: its file './no-such-secret' cannot be read"),
        ("a: [", "tirelessd.yaml: line 1, column 5: "),
    ],
)
def test_bad_configuration_ends_with_2(
    folder: Path,
    command: str,
    content: str | None,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first line names the file or the setting and what is wrong with it."""
    if content is not None:
        (folder / "tirelessd.yaml").write_text(content, encoding="utf-8")

    code = program.run([command])

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert line in captured.err.splitlines()[0]


def test_bad_configuration_says_one_line(config: Path) -> None:
    """The daemon that cannot start says one line with the count of what else is wrong."""
    config.write_text("store: sqlite:./t.db\ndrain_seconds: -1\nqueues: {}\n", encoding="utf-8")

    ended = run("serve", "--config", str(config))

    assert ended.returncode == 2
    assert ended.stderr == (
        "tirelessd: drain_seconds: must be at least 0 (got -1) (and 1 more; run tirelessd check)\n"
    )


def test_failed_start_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the machine refuses is a failure, told in one line."""
    raising(monkeypatch, StartError("api.port: 8080 is taken"))

    code = program.run(["fail"])

    assert (code, capsys.readouterr().err) == (1, "tirelessd: api.port: 8080 is taken\n")


def test_defect_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even what nobody foresaw has no traceback, but a way to get it."""
    raising(monkeypatch, ZeroDivisionError("division\nby zero"))

    code = program.run(["fail"])

    assert code == 1
    assert capsys.readouterr().err == (
        "tirelessd: unexpected ZeroDivisionError: division by zero; TIRELESSD_DEBUG=1 shows where\n"
    )


def test_debugging_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the variable set, the traceback comes first."""
    monkeypatch.setenv("TIRELESSD_DEBUG", "1")
    raising(monkeypatch, ZeroDivisionError("division by zero"))

    code = program.run(["fail"])

    lines = capsys.readouterr().err.splitlines()
    assert code == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "tirelessd: unexpected ZeroDivisionError: division by zero"


def test_interruption_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the program without a word."""
    raising(monkeypatch, KeyboardInterrupt())

    code = program.run(["fail"])

    assert (code, capsys.readouterr().err) == (130, "")


def test_closed_pipe_is_no_traceback(config: Path) -> None:
    """A reader that goes away early is not answered with an error."""
    reader, writer = os.pipe()
    os.close(reader)

    ended = run("check", "--config", str(config), stdout=writer)

    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("command", ["serve", "check", "demo", "healthcheck", "version"])
def test_every_option_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command says what it does, and each of its options what it is for."""
    code = program.run([command, "--help"])

    options = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  -")]
    assert code == 0
    assert options
    assert [line for line in options if len(line.split("  ")) < 3] == []
