"""What stands beside the code: tracked files, locks, decision records and the changelog."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))

# Written so that this file does not name what it looks for.
INDEX_ADDRESSES = re.compile(r"index[-]url|find[-]links|/simple[/]|pythonhosted[.]|//pypi[.]org")
MACHINE_PATHS = re.compile(r"(?<![\w.}~-])/(?:root|home|work|tmp|Users)[/]")

PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ;.*?)? \\$", re.MULTILINE)
RELEASE = re.compile(r"## (\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)")
KINDS_OF_CHANGE = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def tracked_texts() -> dict[str, str]:
    """Every tracked text file by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - whichever git made the checkout
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    contents = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    return {name: body.decode() for name, body in contents.items() if b"\0" not in body}


def places(pattern: re.Pattern[str]) -> list[str]:
    """Each tracked line that a pattern is found in."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def pins(lock: str) -> dict[str, str]:
    """The versions a lock file pins, by package name."""
    text = (LOCKS / lock).read_text(encoding="utf-8")
    return {match["name"]: match["version"] for match in PIN.finditer(text)}


def unmet(requirements: list[str], lock: str) -> list[str]:
    """The requirements that no pin of a lock file meets."""
    pinned = pins(lock)
    wanted = [Requirement(line) for line in requirements]
    return [
        str(each)
        for each in wanted
        if not each.specifier.contains(pinned.get(canonicalize_name(each.name), "0"))
    ]


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is a matter of the machine, not of the project."""
    assert places(INDEX_ADDRESSES) == []


def test_no_file_names_a_path_of_some_machine() -> None:
    """Nothing in the project points into somebody's home or temporary folder."""
    assert places(MACHINE_PATHS) == []


def test_locks_meet_the_project_file() -> None:
    """Each lock pins what pyproject.toml asks for, so `make lock` was not forgotten."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = project["optional-dependencies"]

    missing = {
        "runtime.lock": unmet(project["dependencies"], "runtime.lock"),
        "tracing.lock": unmet(project["dependencies"] + extras["tracing"], "tracing.lock"),
        "build.lock": unmet(groups["build"], "build.lock"),
        "test.lock": unmet(extras["test"] + extras["tracing"], "test.lock"),
        "pictures.lock": unmet(groups["pictures"], "pictures.lock"),
    }

    assert not any(missing.values()), missing


@pytest.mark.parametrize("lock", ["runtime.lock", "tracing.lock", "build.lock"])
def test_tests_run_on_what_ships(lock: str) -> None:
    """The test lock has every pin of the other locks, at the same version."""
    shipped, tested = pins(lock), pins("test.lock")

    assert shipped.items() <= tested.items()


@pytest.mark.parametrize(
    "lock", ["runtime.lock", "tracing.lock", "build.lock", "test.lock", "pictures.lock"]
)
def test_every_pin_has_a_hash(lock: str) -> None:
    """Each requirement of a lock is one exact version followed by at least one hash."""
    text = (LOCKS / lock).read_text(encoding="utf-8")

    requirements = re.findall(r"^\w.*$", text, re.MULTILINE)
    hashed = re.findall(r"^\w\S+==\S+.* \\\n    --hash=sha256:", text, re.MULTILINE)

    assert len(requirements) == len(hashed) >= len(pins(lock)) > 0


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_decision_record_is_whole(record: Path) -> None:
    """A record has a number, a title, and its context, decision and consequence in that order."""
    text = record.read_text(encoding="utf-8")

    parts = re.findall(r"^(?:#+ |\*\*)(Context|Decision|Consequence)s?\b", text, re.MULTILINE)

    assert re.fullmatch(r"\d{3}-[a-z0-9-]+", record.stem)
    assert text.startswith(f"# {record.stem[:3]}")
    assert parts == ["Context", "Decision", "Consequence"]


def test_decision_numbers_are_unique() -> None:
    """A number names one record for good."""
    numbers = [record.stem[:3] for record in RECORDS]

    assert len(numbers) == len(set(numbers)) > 0


def test_changelog_is_kept() -> None:
    """The changelog has unreleased changes first, then dated versions, and six kinds of change."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()

    releases = [line for line in lines if line.startswith("## ")]
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}

    assert lines[0] == "# Changelog"
    assert releases[0] == "## [Unreleased]"
    assert [line for line in releases if not RELEASE.fullmatch(line)] == []
    assert kinds <= KINDS_OF_CHANGE
