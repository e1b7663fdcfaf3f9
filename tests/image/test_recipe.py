"""What the image's recipe says, and what of this folder its build gets to see."""

from __future__ import annotations

import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tirelessd import __version__

ROOT = Path(__file__).parents[2]
SECRETS_AND_LITTER = [
    ".env",
    ".git/config",
    ".venv/bin/python",
    "build/image/base.tar",
    "data/tirelessd.db",
    "src/tirelessd/__pycache__/daemon.cpython-311.pyc",
    "tirelessd.yaml",
]


class Instruction(NamedTuple):
    """One instruction of the recipe, its lines joined."""

    word: str
    text: str


def instructions() -> list[Instruction]:
    """The whole recipe, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    words = [line.partition(" ") for line in text.splitlines() if line]
    return [Instruction(word, " ".join(rest.split())) for word, _, rest in words]


RECIPE = instructions()
STAGES = [position for position, each in enumerate(RECIPE) if each.word == "FROM"]
LAST_STAGE = RECIPE[STAGES[-1] :]


def texts(word: str, of: list[Instruction] = RECIPE) -> list[str]:
    """What follows each instruction of a kind."""
    return [each.text for each in of if each.word == word]


def sources() -> set[str]:
    """What is copied from this folder."""
    copies = [text.split() for text in texts("COPY") if "--from=" not in text]
    return {source for copy in copies for source in copy[:-1]}


def is_sent(path: str) -> bool:
    """Whether the build sees a file: the last pattern that fits its path or a folder above it."""
    folders = [path, *(str(parent) for parent in Path(path).parents)]
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line.startswith("#") or not line:
            continue
        names = [each.rpartition("/")[2] for each in folders] if "**/" in line else folders
        if any(fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


def handlers_recipe() -> str:
    """What README.md shows for an image with handlers in it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme.partition("```dockerfile\n")[2].partition("```")[0]


@pytest.mark.parametrize(
    "recipe", [(ROOT / "Dockerfile").read_text(encoding="utf-8"), handlers_recipe()]
)
def test_linter_has_nothing_to_say(recipe: str) -> None:
    """Hadolint finds nothing, with every rule on, here and in what README.md shows."""
    linted = subprocess.run(
        ["hadolint", "--config", "/dev/null", "-"],  # noqa: S607  (of .venv)
        input=recipe,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "FROM" in recipe
    assert "hadolint" not in recipe
    assert (linted.returncode, linted.stdout) == (0, "")


def test_builder_is_told_what_the_recipe_asks() -> None:
    """`make image` gives the recipe its dates and its labels, and passes on what it is given."""
    script = ["sh", "scripts/image.sh", "--build-arg", "BASE_IMAGE=python@sha256:1"]

    # What docker would be told, for `echo` takes its place.
    told = run(script, BUILDER="echo", IMAGE="").stdout

    given = set(re.findall(r"--build-arg (\w+)=\S+", told))
    assert given == {"SOURCE_DATE_EPOCH", "VERSION", "REVISION", "CREATED", "BASE_IMAGE"}
    assert given <= {text.partition("=")[0] for text in texts("ARG")}
    assert "TIRELESSD_REVISION=${REVISION}" in texts("ENV")
    assert f"--tag tirelessd:{__version__} " in told


def test_missing_builder_is_named() -> None:
    """Without a builder `make image` ends with 2 and says what to install."""
    ran = run(["sh", "scripts/image.sh"], BUILDER="no-such-builder")

    assert ran.returncode == 2
    assert ran.stderr.startswith("An image needs no-such-builder: install one")


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command here, with some more variables."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bases_are_the_builders_to_choose() -> None:
    """Every stage stands on an argument, on nothing, or on a stage; no default is a `latest`."""
    named = [text.partition(" AS ")[2] for text in texts("FROM")]
    bases = {text.partition(" AS ")[0] for text in texts("FROM")}
    defaults = dict(text.split("=", 1) for text in texts("ARG", RECIPE[: STAGES[0]]))

    chosen = {f"${{{name}}}" for name in defaults}

    assert bases <= chosen | {"scratch"} | set(named)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", defaults["BASE_IMAGE"])
    assert defaults["BUILD_IMAGE"] == "${BASE_IMAGE}"


def test_nobody_is_root() -> None:
    """The image runs as a user and a group that are numbers, as a pod's policy must know them."""
    user, group = texts("USER", LAST_STAGE)[-1].split(":")

    assert int(user) >= 10_000
    assert int(group) >= 10_000


@pytest.mark.parametrize("word", ["RUN", "ENTRYPOINT", "CMD", "HEALTHCHECK", "VOLUME"])
def test_no_shell_is_needed(word: str) -> None:
    """Nothing of the last stage is given to a shell, at its build and when it runs."""
    given = [text[text.index("[") :] for text in texts(word, LAST_STAGE)]

    assert given
    assert all(msgspec.json.decode(each, type=list[str]) for each in given)


def test_packages_come_from_the_locks() -> None:
    """What pip fetches or installs is a lock's, checked by hash and a wheel, or our own wheel."""
    commands = [each for text in texts("RUN") for each in text.split(" && ") if "/pip " in each]

    loose = [
        command
        for command in commands
        if not ("--require-hashes" in command and "--only-binary :all:" in command)
        and "--no-deps" not in command
    ]
    locks = set(re.findall(r"-r /(\S+)", " ".join(commands)))

    assert len(commands) == 5
    assert loose == []
    assert locks == {"requirements/build.lock", "requirements/tracing.lock"}


def test_end_is_asked_for_politely() -> None:
    """A container is stopped by the signal that drains, and asked how it is by the program."""
    (health,) = texts("HEALTHCHECK")

    assert texts("STOPSIGNAL") == ["SIGTERM"]
    assert '"/opt/tirelessd/bin/tirelessd", "healthcheck", "--live"' in health


def test_build_sees_what_it_copies_and_no_more() -> None:
    """Of all tracked files, the build is sent exactly those that the recipe copies."""
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607  (whichever git made the checkout)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = listed.stdout.splitlines()

    sent = {name for name in tracked if is_sent(name)}
    copied = {name for name in tracked if sources() & {name, name.partition("/")[0]}}

    assert len(sent) > 100
    assert sent == copied


@pytest.mark.parametrize("path", SECRETS_AND_LITTER)
def test_build_does_not_see(path: str) -> None:
    """What may be secret, big or stale stays out of the build."""
    assert not is_sent(path)
