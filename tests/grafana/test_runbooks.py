"""Every alert has a runbook, and what the runbooks ask and say is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from grafana.source.rules import ALERTS
from tests.grafana.names import known_names, problems
from tests.grafana.test_names import AWAITED, AWAITED_VALUES
from tirelessd.api.dead_letters import RedriveRequest
from tirelessd.api.openapi import description
from tirelessd.observe.lines import CATALOGUE

FOLDER = Path(__file__).parents[2] / "docs/runbooks"
PAGES = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
RUNBOOKS = sorted(name for name in PAGES if name != "README.md")
SECTIONS = ["Meaning", "Impact", "Look", "Do", "Redrive"]
KNOWN = known_names()
NAMES = {alert.full_name for alert in ALERTS}
QUEUE, ITEM = "mail", "0192a000-0000-7000-8000-000000000000"
OPS_PATHS = {"/metrics", "/livez", "/readyz", "/startupz", "/statusz", "/scalez"}
JSON = re.compile(r"--json '(?P<body>(?:[^']|'\$QUEUE')*)'")
ADDRESS = re.compile(r"\$(?P<listener>API|OPS)(?P<path>/[\w/$-]*)")


def sections(page: str) -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.*)\n", PAGES[page], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(kind: str, text: str) -> list[str]:
    """The code blocks of a kind, without their indentation."""
    found = re.findall(rf"^ *```{kind}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^ +", "", block, flags=re.MULTILINE).strip() for block in found]


def commands(page: str) -> Iterator[str]:
    """Every command to type."""
    for block in blocks("sh", PAGES[page]):
        yield from block.splitlines()


def call(command: str) -> tuple[str, str, str]:
    """The listener, the method and the path that a command goes to."""
    found = ADDRESS.search(command)
    assert found, command
    method = re.search(r"-X (\w+)", command)
    usual = "post" if "--json" in command else "get"
    path = found["path"].replace("$QUEUE", "{queue}").replace("$ID", "{id}")
    return found["listener"], method[1].lower() if method else usual, path


def test_every_alert_has_a_runbook() -> None:
    """And no runbook is left of an alert that is gone."""
    assert {name.removesuffix(".md") for name in RUNBOOKS} == NAMES


@pytest.mark.parametrize("page", RUNBOOKS)
def test_runbook_is_whole(page: str) -> None:
    """It has the name of its alert, how urgent that is, and all sections, each with something."""
    name = page.removesuffix(".md")
    severities = {alert.severity for alert in ALERTS if alert.full_name == name}
    head = PAGES[page].partition("\n## ")[0]

    parts = sections(page)

    assert head.startswith(f"# {name}\n")
    assert {word.lower() for word in re.findall(r"Critical|Warning|Info", head)} == severities
    assert list(parts) == SECTIONS
    assert all(text.strip() for text in parts.values())


@pytest.mark.parametrize("page", RUNBOOKS)
def test_runbook_asks_three_questions(page: str) -> None:
    """Three queries that can be pasted, each about what is there."""
    queries = blocks("promql", sections(page)["Look"])

    found = {problem for query in queries for problem in problems(query, KNOWN, AWAITED)}

    assert len(queries) == len(set(queries)) == 3
    assert len(queries) == len(blocks("promql", PAGES[page]))
    assert found <= AWAITED_VALUES


@pytest.mark.parametrize("page", RUNBOOKS)
def test_redrive_is_a_command_or_a_reason(page: str) -> None:
    """What to put back and how, counted first, or why there is nothing."""
    text = sections(page)["Redrive"]
    is_reasoned = text.strip().startswith("Not needed: ")
    bodies = [JSON.search(line) for block in blocks("sh", text) for line in block.splitlines()]
    wishes = [
        msgspec.json.decode(body["body"].replace("'$QUEUE'", QUEUE), type=RedriveRequest)
        for body in bodies
        if body
    ]

    assert [wish.dry_run for wish in wishes] == ([] if is_reasoned else [True, False])
    assert all(wish.filter for wish in wishes)


@pytest.mark.parametrize("page", PAGES)
def test_commands_call_what_is_served(page: str) -> None:
    """Each goes to a path that the API describes, by its method, or to a page for operators."""
    described = description(has_tokens=True)["paths"]
    calls = [call(command) for command in commands(page) if "curl" in command]

    strange = [
        (method, path)
        for listener, method, path in calls
        if (path not in OPS_PATHS if listener == "OPS" else method not in described.get(path, {}))
    ]

    assert strange == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link into the repository has a file at its end."""
    targets = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", PAGES[page])

    assert [target for target in targets if not (FOLDER / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_words_of_the_daemon_are_its_own(page: str) -> None:
    """Metrics and log events that are spoken of exist."""
    text = PAGES[page]
    metrics = set(re.findall(r"`(tirelessd_\w+|\w+:tirelessd_[\w:]+)`", text))
    events = set(re.findall(r"log event `([^`]+)`", " ".join(text.split())))

    assert metrics - KNOWN.keys() - AWAITED == set()
    assert events <= {line.event for line in CATALOGUE}


def test_readme_leads_to_every_runbook() -> None:
    """And names the five to begin with."""
    linked = set(re.findall(r"\]\((Tirelessd\w+\.md)\)", PAGES["README.md"]))
    five = PAGES["README.md"].partition("## Start with these five\n")[2].partition("\n## ")[0]

    assert linked == set(RUNBOOKS)
    assert re.findall(r"\((Tirelessd\w+)\.md\)", five) == [
        "TirelessdAbsent",
        "TirelessdCanaryFailing",
        "TirelessdQueueStalled",
        "TirelessdErrorBudgetBurn",
        "TirelessdDeadLettersNew",
    ]
