"""The house style in figures; each failure names the places to mend."""

from pathlib import Path

import pytest

from tests.house.measure import Definition, docstring, import_cycle, percentile, read_files

ROOT = Path(__file__).parents[2]
SOURCE = read_files(ROOT, "src", within="src")
TESTS = read_files(ROOT, "tests")
BENCH = read_files(ROOT, "bench")
GRAFANA = read_files(ROOT, "grafana/source")
BESIDE = BENCH + GRAFANA


@pytest.fixture(scope="module")
def functions() -> list[Definition]:
    """Every function that is held to the figures; parsed here, for a collection needs none."""
    return [function for file in SOURCE + BESIDE for function in file.functions]


@pytest.fixture(scope="module")
def source_lines() -> int:
    """Lines of code in the source."""
    return sum(file.code_lines for file in SOURCE)


def highest(figures: dict[str, int]) -> str:
    """The ten places with the highest figures, one a line."""
    ranked = sorted(figures.items(), key=lambda pair: -pair[1])
    return "\n" + "\n".join(f"{figure:5}  {where}" for where, figure in ranked[:10])


def undocumented(definitions: list[Definition]) -> list[str]:
    """The places of the definitions that have no docstring."""
    return [each.where for each in definitions if not each.has_docstring]


def test_functions_are_short(functions: list[Definition]) -> None:
    """A function takes at most 60 lines, docstring left out, and 95 of 100 take at most 30."""
    lines = {function.where: function.lines for function in functions}

    usual, longest = percentile(lines.values(), 0.95), max(lines.values())

    assert usual <= 30, highest(lines)
    assert longest <= 60, highest(lines)


def test_functions_turn_rarely(functions: list[Definition]) -> None:
    """McCabe's number is at most 6 in 95 of 100 functions."""
    branches = {function.where: function.branches for function in functions}

    usual = percentile(branches.values(), 0.95)

    assert usual <= 6, highest(branches)


def test_files_fit_in_the_head() -> None:
    """A source file has at most 400 lines."""
    lines = {file.path: file.lines for file in SOURCE + BESIDE}

    longest = max(lines.values())

    assert longest <= 400, highest(lines)


def test_public_names_say_what_they_promise() -> None:
    """At least 90 of 100 public classes, functions and methods have a docstring."""
    public = [each for file in SOURCE + BESIDE for each in file.definitions if each.is_public]

    silent = undocumented(public)

    assert len(silent) <= 0.1 * len(public), silent


def test_modules_say_what_they_are_for() -> None:
    """Every module, of the tests too, begins with a docstring."""
    silent = [
        file.path
        for file in SOURCE + BESIDE + TESTS
        if file.code_lines and not docstring(file.syntax)
    ]

    assert silent == []


def test_everything_is_typed(functions: list[Definition]) -> None:
    """Every parameter and every return of every function has a type."""
    bare = {function.where: function.bare_names for function in functions}

    assert {where: names for where, names in bare.items() if names} == {}


def test_every_test_states_its_fact() -> None:
    """Every test function has a docstring."""
    silent = undocumented([trial for file in TESTS for trial in file.trials])

    assert silent == []


def test_tests_outweigh_the_source(source_lines: int) -> None:
    """There are 1.2 to 2 lines of test code to each line of source code."""
    test_lines = sum(file.code_lines for file in TESTS)

    ratio = test_lines / source_lines

    assert 1.2 <= ratio <= 2.0, f"{test_lines} lines of tests, {source_lines} of source"


def test_comments_are_few_and_present(source_lines: int) -> None:
    """Between 4 and 10 lines of 100 lines of code carry a comment."""
    comments = {file.path: file.comment_lines for file in SOURCE}

    share = sum(comments.values()) / source_lines

    assert 0.04 <= round(share, 2) <= 0.10, f"{share:.1%}" + highest(comments)


def test_imports_have_no_cycle() -> None:
    """No import leads back to its module, not even one inside a function or for a type checker."""
    cycles = import_cycle(SOURCE) + import_cycle(BESIDE)

    assert cycles == []


def test_one_module_names_a_clock() -> None:
    """Only core/clock.py tells the time; every other module is handed a clock."""
    clocks = {file.path: file.clocks for file in SOURCE + BESIDE if file.clocks}

    assert list(clocks) == ["src/tirelessd/core/clock.py"], clocks


def test_no_test_sleeps() -> None:
    """Tests wait for events and conditions, never for time to pass."""
    sleeps = [sleep for file in TESTS for sleep in file.sleeps]

    assert sleeps == []
