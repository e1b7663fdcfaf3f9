"""The demo as it is run: the real daemon, the real server, a real terminal's signals."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from tirelessd.cli.demonstration import predictions
from tirelessd.cli.demonstration.predictions import Tally
from tirelessd.cli.demonstration.process import DemoFailed, running_daemon
from tirelessd.cli.demonstration.story import (
    CAP_SECONDS,
    MAX_ATTEMPTS,
    Plan,
    configuration,
    run_demo,
)
from tirelessd.settings import parse

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 45


@pytest.fixture
def scratch(folder: Path) -> Path:
    """Where temporary files of a demo go, and nothing else."""
    path = folder / "scratch"
    path.mkdir()
    return path


def demo(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tirelessd", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def started_demo(*arguments: str, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that is under way; ended at the latest with the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "tirelessd", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the output up to a line in which the pattern is found; fails at its end."""
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if re.search(pattern, line):
            return read
    raise AssertionError(f"{pattern!r} does not come; instead: {read}")


def processes_in(folder: Path) -> list[str]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The demo as `make demo` runs it, run once."""
    return demo(scratch=tmp_path_factory.mktemp("story"))


def test_story_ends_well(story: subprocess.CompletedProcess[str]) -> None:
    """99 of 100 succeed, item 50 gives up after five attempts, and both sets of books agree."""
    assert story.returncode == 0, story.stdout + story.stderr
    assert "99 of 100 predictions succeeded, 1 gave up" in story.stdout
    assert "Gave up on item 50 after 5 attempts." in story.stdout
    assert "last error: HTTP 500: the model cannot make sense of item 50" in story.stdout
    assert story.stdout.endswith("\nThey agree.\n")
    assert story.stderr == ""


def timeless(output: str) -> list[str]:
    """The lines of a demo without what differs from run to run: progress, times, ports."""
    lines = [line for line in output.splitlines() if " retrying " not in line]
    return [re.sub(r"127\.0\.0\.1:\d+|\d+\.\d+", "…", line).rstrip() for line in lines]


def test_readme_shows_a_real_story(story: subprocess.CompletedProcess[str]) -> None:
    """What the README shows is what `make demo` prints, times and ports aside."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    shown = readme.partition("$ make demo\n")[2].partition("```")[0]

    assert timeless(shown) == timeless(story.stdout)


def test_many_failures_end_truthfully(scratch: Path) -> None:
    """When chance gives up on more items, the summary counts them and the books still agree."""
    ended = demo(
        "--items", "60", "--failure-rate", "0.8", "--seed", "3", "--slots", "60", scratch=scratch
    )

    told = re.search(r"(\d+) of 60 predictions succeeded, (\d+) gave up", ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert told is not None
    succeeded, gave_up = map(int, told.groups())
    assert succeeded + gave_up == 60
    assert gave_up > 1
    assert ended.stdout.count("Gave up on item") == gave_up
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interruption_leaves_nothing_behind(
    scratch: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C in the middle ends the daemon and removes its files."""
    with started_demo("--items", "1000", "--slots", "5", scratch=scratch) as process:
        read_until(process, r"succeeded")
        started = processes_in(scratch)

        process.send_signal(number)
        _, words = process.communicate(timeout=DEADLINE_SECONDS)

    assert len(started) == 1
    assert (process.returncode, words) == (code, "")
    assert processes_in(scratch) == []
    assert list(scratch.iterdir()) == []


def test_kept_demo_stays_until_interrupted(scratch: Path) -> None:
    """With `--keep` the daemon can be looked at after the story, and Ctrl-C is its good end."""
    with started_demo("--items", "3", "--failure-rate", "0", "--keep", scratch=scratch) as process:
        read_until(process, r"^  http://\S+/metrics$")

        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=DEADLINE_SECONDS)

    assert (process.returncode, words) == (0, "")
    assert list(scratch.iterdir()) == []


def test_small_demo_ignores_our_variables(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for somebody's daemon change nothing, and below 50 items nobody gives up."""
    monkeypatch.setenv("TIRELESSD_QUEUES__PREDICTIONS__RETRY__MAX_ATTEMPTS", "1")
    monkeypatch.setenv("TIRELESSD_NONSENSE", "1")

    ended = demo("--items", "3", "--failure-rate", "0", scratch=scratch)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 of 3 predictions succeeded, 0 gave up" in ended.stdout


def test_configuration_of_the_demo_is_valid(folder: Path) -> None:
    """What the demo configures is what it promises."""
    plan = Plan(slots=7)

    settings = parse(configuration(plan, "http://127.0.0.1:1/predict", str(folder)))

    (queue,) = settings.queue_configs
    assert (queue.name, queue.slots, queue.retry.max_attempts) == ("predictions", 7, 5)
    assert settings.store_path == folder / "tirelessd.db"


async def test_daemon_that_does_not_start_is_told(folder: Path) -> None:
    """The last line of a daemon that ended at once is the reason."""
    with pytest.raises(DemoFailed, match="the daemon did not start: tirelessd: slots: unknown"):
        async with running_daemon(folder, {"slots": 3}):
            raise AssertionError("it must not come this far")


def in_process(plan: Plan) -> tuple[int, str]:
    """Run a demo in this process; gives its exit code and what it printed."""
    console = Console(file=io.StringIO(), soft_wrap=True, highlight=False)
    code = run_demo(plan, console)
    return code, console.file.getvalue()  # type: ignore[attr-defined]


def test_disagreement_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the server counted something else than the daemon, the demo says what, and fails."""
    monkeypatch.setattr(Tally, "successes", property(lambda _: 4))

    code, output = in_process(Plan(items=3, failure_rate=0))

    assert code == 1
    assert output.endswith("\nThey disagree on: attempts that succeeded.\n")


def test_endless_item_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """When an item does not end in time, the demo fails with how far it came."""
    monkeypatch.setattr(predictions, "SHORTEST_SECONDS", 30.0)
    monkeypatch.setattr(Plan, "patience_seconds", property(lambda _: 0.1))

    with pytest.raises(DemoFailed, match=r"succeeded +0 .* the rest of 1 items did not end"):
        in_process(Plan(items=1, failure_rate=0))


@pytest.mark.parametrize(("items", "slots"), [(1, 1), (100, 20), (10_000, 1_000), (101, 20)])
def test_patience_outlasts_the_work(items: int, slots: int) -> None:
    """The demo waits longer than all attempts of all items can take."""
    plan = Plan(items=items, slots=slots)

    longest = MAX_ATTEMPTS * -(-items // slots) * predictions.LONGEST_SECONDS

    assert plan.patience_seconds > longest + MAX_ATTEMPTS * CAP_SECONDS
