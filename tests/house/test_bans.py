"""What the house does not do, and that the finders would find it."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.house.bans import stray_tasks, swallowed_cancellations, swallowed_errors, vague_names
from tests.house.measure import File, read_files

ROOT = Path(__file__).parents[2]
SOURCE = read_files(ROOT, "src", within="src")
BENCH = read_files(ROOT, "bench")
GRAFANA = read_files(ROOT, "grafana/source")
TESTS = read_files(ROOT, "tests")
SUPERVISOR = "src/tirelessd/engine/supervisor.py"
# It owns the loop, and waits for its one task.
LIFE = "src/tirelessd/cli/life.py"
# It has one task at a time, the commit in flight, and waits for it when it closes.
LANE = "src/tirelessd/store/postgres/lane.py"


def written(text: str) -> File:
    """A file that exists only here."""
    return File(path="shop.py", name="shop", text=dedent(text))


def test_every_room_has_a_name() -> None:
    """No module or folder is called utils, helpers, common or manager."""
    vague = [file.path for file in SOURCE + BENCH + GRAFANA + TESTS if vague_names(file)]

    assert vague == []


def test_only_the_supervisor_starts_tasks() -> None:
    """A task is started by the supervisor or in a task group, so that somebody waits for it."""
    owners = {SUPERVISOR, LIFE, LANE}
    others = (file for file in SOURCE + BENCH + GRAFANA if file.path not in owners)
    strays = [place for file in others for place in stray_tasks(file)]

    assert strays == []


def test_no_error_vanishes() -> None:
    """Nothing catches every error and passes over it, in the source or in the tests."""
    swallowed = [
        place for file in SOURCE + BENCH + GRAFANA + TESTS for place in swallowed_errors(file)
    ]

    assert swallowed == []


def test_no_cancellation_is_kept() -> None:
    """Whoever catches a cancellation has a way that raises it again."""
    kept = [place for file in SOURCE + BENCH + GRAFANA for place in swallowed_cancellations(file)]

    assert kept == []


@pytest.mark.parametrize(
    "start",
    ["asyncio.create_task(work())", "asyncio.ensure_future(work())", "loop.create_task(work())"],
)
def test_bare_task_is_found(start: str) -> None:
    """A task started by a module function or by the loop is a stray."""
    file = written(f"import asyncio\n{start}\n")

    assert stray_tasks(file) == ["shop.py:2"]


def test_task_of_a_group_is_waited_for() -> None:
    """A task group waits for its tasks, so they are no strays."""
    file = written("""
        import asyncio
        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(work())
    """)

    assert stray_tasks(file) == []


@pytest.mark.parametrize("catch", ["except:", "except Exception:", "except (OSError, Exception):"])
def test_vanished_error_is_found(catch: str) -> None:
    """An `except` of everything whose body does nothing is found, alone or in a tuple."""
    file = written(f"try:\n    work()\n{catch}\n    pass\n")

    assert swallowed_errors(file) == ["shop.py:3"]


def test_suppressed_error_is_found() -> None:
    """contextlib.suppress is an `except` that does nothing."""
    file = written("""
        from contextlib import suppress
        with suppress(Exception):
            work()
    """)

    assert swallowed_errors(file) == ["shop.py:3"]


def test_kept_cancellation_is_found() -> None:
    """A handler of CancelledError without a raise is found; one that may raise is not."""
    file = written("""
        from asyncio import CancelledError
        async def keep():
            try:
                await work()
            except CancelledError:
                log()
        async def pass_on():
            try:
                await work()
            except CancelledError:
                if is_mine():
                    raise
    """)

    assert swallowed_cancellations(file) == ["shop.py:6"]


def test_cancellation_ends_in_a_plain_function() -> None:
    """Around asyncio.run nobody is left who could be cancelled, so it may be caught there."""
    file = written("""
        import asyncio
        def main():
            try:
                return asyncio.run(work())
            except asyncio.CancelledError:
                return 143
    """)

    assert swallowed_cancellations(file) == []
