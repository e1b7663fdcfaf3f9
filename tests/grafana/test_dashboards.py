"""The five dashboards: what each panel must have, its place, and what it asks."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from grafana.source.dashboards import models
from grafana.source.dashboards.board import QUEUE_PAGE
from grafana.source.dashboards.panels import GRID, MEANINGS, TARGET
from tests.grafana.queries import RATE_INTERVAL, grouped_labels, selectors
from tests.grafana.schema import OPTIONS, Dashboard

MODELS: Final = {model["uid"]: model for model in models()}
PANELS: Final = {
    f"{uid} / {panel['title']}": panel
    for uid, model in MODELS.items()
    for panel in model["panels"]
    if panel["type"] != "row"
}
VARIABLES: Final = (
    *("prometheus_datasource", "loki_datasource", "tempo_datasource"),
    *("cluster", "namespace", "job", "instance", "queue"),
)


def queries_of(panel: dict[str, Any]) -> list[str]:
    """What a panel asks Prometheus."""
    return [
        target["expr"]
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]


def test_every_page_is_there() -> None:
    """Five, whose names in addresses stay the same."""
    assert list(MODELS) == [
        "tirelessd-overview",
        QUEUE_PAGE,
        "tirelessd-delivery",
        "tirelessd-internals",
        "tirelessd-slo",
    ]


@pytest.mark.parametrize("uid", MODELS)
def test_a_page_is_read_only_and_in_utc(uid: str) -> None:
    """What is written by code is not edited by hand, and all see the same times."""
    model = MODELS[uid]

    assert (model["editable"], model["timezone"], model["graphTooltip"]) == (False, "utc", 1)
    assert model["tags"] == ["tirelessd"]
    assert model["description"]


@pytest.mark.parametrize("uid", MODELS)
def test_a_page_has_the_shape_that_grafana_reads(uid: str) -> None:
    """No key is misspelt, no value of another kind: Grafana would leave it out without a word."""
    page = msgspec.convert(MODELS[uid], Dashboard)

    unknown = {panel.title: panel.options.keys() - OPTIONS[panel.type] for panel in page.panels}
    assert {title: keys for title, keys in unknown.items() if keys} == {}


@pytest.mark.parametrize("uid", MODELS)
def test_variables_are_the_same_everywhere(uid: str) -> None:
    """So that a link to another page can keep what was picked; each narrows the next."""
    variables = MODELS[uid]["templating"]["list"]

    names = [each["name"] for each in variables]
    assert tuple(names[: len(VARIABLES)]) == VARIABLES
    assert all(each["multi"] and each["includeAll"] for each in variables[3:])
    assert {each["name"]: each["allValue"] for each in variables[3:]} == {
        name: ".*" if name in ("cluster", "namespace") else ".+" for name in names[3:]
    }


@pytest.mark.parametrize("uid", MODELS)
def test_pages_lead_to_each_other_and_to_traces_and_log(uid: str) -> None:
    """The links keep the time and the variables that are picked."""
    pages, traces, log = MODELS[uid]["links"]

    assert pages["type"] == "dashboards"
    assert pages["asDropdown"]
    assert pages["keepTime"]
    assert pages["includeVars"]
    assert "tempo_datasource" in traces["url"]
    assert "loki_datasource" in log["url"]


@pytest.mark.parametrize("uid", MODELS)
def test_events_are_marked_on_every_page(uid: str) -> None:
    """A bend in a line has a cause: a deploy, a restart, a drain; or it has an alert."""
    names = [each["name"] for each in MODELS[uid]["annotations"]["list"]]

    assert names == ["Deploys", "Restarts", "Drains", "Firing alerts"]


@pytest.mark.parametrize("uid", MODELS)
def test_panels_do_not_overlap(uid: str) -> None:
    """Each lies within the 24 columns of the grid, on squares of its own."""
    places = [panel["gridPos"] for panel in MODELS[uid]["panels"]]

    assert all(0 <= place["x"] <= GRID - place["w"] for place in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places share a square."""
    return all(
        one[at] < other[at] + other[length] and other[at] < one[at] + one[length]
        for at, length in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize("uid", MODELS)
def test_panels_have_numbers_and_titles_of_their_own(uid: str) -> None:
    """A panel can be named, by people and in an address."""
    panels = [panel for panel in MODELS[uid]["panels"] if panel["type"] != "row"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_panels_say_what_they_show_and_what_to_do() -> None:
    """Each description has what it is, the healthy value, and what else to do; each has a unit."""
    for place, panel in PANELS.items():
        description = panel["description"]

        assert "Healthy: " in description, place
        assert len(description.split(". ")) >= 3, place
        assert description.endswith("."), place
        assert panel["fieldConfig"]["defaults"]["unit"], place


def test_panels_ask_something() -> None:
    """Each query has a letter of its own and asks a datasource that can be picked."""
    for place, panel in PANELS.items():
        letters = [target["refId"] for target in panel["targets"]]
        sources = {target["datasource"]["uid"].strip("${}") for target in panel["targets"]}

        assert len(set(letters)) == len(letters), place
        assert letters or panel["type"] == "alertlist", place
        assert sources <= set(VARIABLES), place


def test_every_query_picks_what_the_page_picks() -> None:
    """Each selector has the four variables of the fleet, and that of the queue if it has queues."""
    found = [
        (place, selector)
        for place, panel in PANELS.items()
        for query in queries_of(panel)
        for selector in selectors(query)
    ]

    for name in ("cluster", "namespace", "job", "instance"):
        bare = [
            place
            for place, selector in found
            if [(each.operator, each.value) for each in selector.matching(name)]
            != [("=~", f"${name}")]
        ]
        assert bare == [], name


def test_what_a_shared_store_holds_is_counted_once() -> None:
    """Each pod of a store reports all of it: the maximum comes before any sum, queue by queue."""
    items = [
        selector
        for panel in PANELS.values()
        for query in queries_of(panel)
        for selector in selectors(query)
        if selector.name.startswith(("tirelessd_queue_items", "tirelessd_queue_ready_age"))
    ]

    assert items
    assert all(selector.around[0] == "max" for selector in items)
    sums = [query for panel in PANELS.values() for query in queries_of(panel) if "sum" in query]
    inner = [re.findall(r"max by \(([^)]*)\) \(tirelessd_queue_items\{", each) for each in sums]
    assert {tuple(by.split(", ")[-3:]) for each in inner for by in each} == {
        ("store", "queue", "state")
    }


def test_a_quotient_is_no_nan_when_idle() -> None:
    """What is divided by, and may be 0, is compared with 0 first; a quantile of nothing is 0."""
    queries = [query for panel in PANELS.values() for query in queries_of(panel)]

    quantiles = [query for query in queries if "histogram_quantile" in query]
    assert len(quantiles) > 20
    assert all(re.search(r">= 0 or .* \* 0$", query) for query in quantiles)
    assert all(
        re.search(r"/ .* > 0|/ \(1 - |tirelessd_budget:ratio", query)
        for query in queries
        if " / " in query
    )


def test_limits_come_from_the_configuration() -> None:
    """What a latency is compared with is a query, so that each installation sees its own."""
    lines = {
        selector.name
        for panel in PANELS.values()
        for target in panel["targets"]
        if target.get("legendFormat") == TARGET
        for selector in selectors(target["expr"])
    }

    assert lines >= {
        "tirelessd_slo_target_seconds",
        "tirelessd_slo_objective_ratio",
        "tirelessd_attempt_timeout_seconds",
    }


def test_a_colour_means_the_same_everywhere() -> None:
    """No word has two colours."""
    meanings: dict[str, set[str]] = {}
    for panel in PANELS.values():
        for each in panel["fieldConfig"]["overrides"]:
            for part in each["properties"]:
                if part["id"] == "color":
                    word = each["matcher"]["options"]
                    meanings.setdefault(word, set()).add(part["value"]["fixedColor"])

    assert {word: colours for word, colours in meanings.items() if len(colours) > 1} == {}
    assert meanings["dead"] == {MEANINGS["state"]["dead"]} == {"red"}


def test_exemplars_are_shown_where_there_are_any() -> None:
    """The dots that lead to traces: intake, waiting, attempts, delivery and give-ups."""
    families = {
        selector.name
        for panel in PANELS.values()
        for target in panel["targets"]
        if target.get("exemplar")
        for selector in selectors(target["expr"])
        if not selector.name.endswith("_count")
    }

    assert families >= {
        "tirelessd_intake_request_duration_seconds_bucket",
        "tirelessd_item_wait_seconds_bucket",
        "tirelessd_attempt_duration_seconds_bucket",
        "tirelessd_item_end_to_end_seconds_bucket",
        "tirelessd_items_dead_total",
    }


def test_a_rate_fits_any_zoom() -> None:
    """No rate has a length of its own."""
    lengths = {
        selector.range
        for panel in PANELS.values()
        for query in queries_of(panel)
        for selector in selectors(query)
        if "rate" in selector.around
    }

    assert lengths == {RATE_INTERVAL}


def test_a_count_is_a_whole_number() -> None:
    """Nobody is shown two thirds of a dead item, as Prometheus would reckon from its scrapes."""
    counts = [
        (query, "round" in selector.around)
        for panel in PANELS.values()
        if panel["type"] != "heatmap"
        for query in queries_of(panel)
        # A share is not counted, and the buckets of a histogram are only weighed.
        if " / " not in query
        for selector in selectors(query)
        if "increase" in selector.around and not selector.name.endswith("_bucket")
    ]

    assert len(counts) > len(MODELS)
    assert [query for query, is_whole in counts if not is_whole] == []


def links_of(panel: dict[str, Any]) -> list[str]:
    """Where points, or cells of a table's column, lead to."""
    config = panel["fieldConfig"]
    cells = [
        link
        for each in config["overrides"]
        for part in each["properties"]
        if part["id"] == "links"
        for link in part["value"]
    ]
    return [link["url"] for link in (*config["defaults"].get("links", ()), *cells)]


def test_a_queue_leads_to_its_page() -> None:
    """A click on a queue opens its page, at the same time and with what else was picked."""
    links = [
        link
        for panel in PANELS.values()
        for link in links_of(panel)
        if link.startswith(f"/d/{QUEUE_PAGE}?")
    ]

    assert len(links) == 6
    for link in links:
        assert "var-queue=" in link
        assert "url_time_range" in link
        assert "prometheus_datasource" in link


def test_a_queue_leads_to_its_traces() -> None:
    """From its latencies to the spans of its attempts, for there is not a dot for each."""
    links = [link for panel in PANELS.values() for link in links_of(panel) if "traceql" in link]

    assert len(links) == 3
    for link in links:
        panes = parse_qs(urlsplit(link).query)["panes"]
        [query] = msgspec.json.decode(panes[0])["a"]["queries"]
        assert query["query"] == '{resource.service.name="tirelessd" && name="process $queue"}'


def test_legends_name_labels_that_there_are() -> None:
    """What a legend shows of a series survives the aggregation."""
    for place, panel in PANELS.items():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))

            assert not named or named <= grouped_labels(target["expr"]), place
