"""Panels as matplotlib draws them: close to what Grafana shows, without being it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, num2date
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grafana.source.pictures.answers import Answer, Answers, Line, named_lines
from grafana.source.pictures.units import shown

PAPER, CARD, INK, FAINT, GRID = "#111217", "#181b1f", "#d0d1d6", "#8e8e96", "#2c3036"
PALETTE: Final = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff9830", "#f2495c", "#5794f2", "#b877d9")
COLOURS: Final[Mapping[str, str]] = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "light-blue": "#8ab8ff",
    "purple": "#b877d9",
    "dark-red": "#c4162a",
    "yellow": "#fade2a",
}
TARGET: Final = "target"
LEGEND_MOST: Final = 8
ROWS_MOST: Final = 9
DAY_SECONDS: Final = 86_400

Panel = Mapping[str, Any]


def colour(name: str) -> str:
    """One of Grafana's colours by its name."""
    return COLOURS.get(name, name if name.startswith("#") else INK)


def overrides(panel: Panel, name: str) -> Mapping[str, Any]:
    """What a panel says about the series of one name."""
    return {
        each["id"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == name
        for each in override["properties"]
    }


def colour_of(panel: Panel, name: str, number: int) -> str:
    """The fixed colour of a series, or the next one of the palette."""
    fixed = overrides(panel, name).get("color")
    return colour(fixed["fixedColor"]) if fixed else PALETTE[number % len(PALETTE)]


def unit_of(panel: Panel) -> str:
    """What a panel's numbers are."""
    return str(panel["fieldConfig"]["defaults"]["unit"])


def over_time(axes: Axes, panel: Panel, answers: Sequence[Answer], span: Answers) -> None:
    """Lines, areas or bars."""
    custom = panel["fieldConfig"]["defaults"]["custom"]
    is_stacked = custom["stacking"]["mode"] == "normal"
    base: dict[float, float] = {}
    lines = [(name, line) for name, line in named_lines(list(answers)) if numbers(line)]
    for number, (name, line) in enumerate(lines):
        paint = colour_of(panel, name, number)
        label = name if number < LEGEND_MOST else None
        if name == TARGET:
            axes.plot(*dated(line), color=paint, lw=1, ls=(0, (6, 4)), label=label)
        elif is_stacked:
            stack(axes, line, base, paint, label)
        else:
            axes.plot(*dated(line), color=paint, lw=1.1, label=label)
            axes.fill_between(*dated(line), color=paint, alpha=0.07, lw=0)
    finish_time(axes, span)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit_of(panel))))
    axes.set_ylim(bottom=None if custom.get("axisCenteredZero") else 0)
    if not lines:
        say(axes, "no data in this span")
    elif axes.get_ylim()[1] <= 0:
        axes.set_ylim(top=1)
    legend(axes, len(lines))


def stack(axes: Axes, line: Line, base: dict[float, float], paint: str, label: str | None) -> None:
    """An area upon those before it; `base` is how high they are."""
    pairs = [(at, value or 0.0) for at, value in line.samples]
    low = [base.get(at, 0.0) for at, _ in pairs]
    high = [bottom + value for bottom, (_, value) in zip(low, pairs, strict=True)]
    days = [at / DAY_SECONDS for at, _ in pairs]
    axes.fill_between(days, low, high, color=paint, alpha=0.5, lw=0, step="mid", label=label)
    axes.plot(days, high, color=paint, lw=0.7, drawstyle="steps-mid")
    base.update(zip((at for at, _ in pairs), high, strict=True))


def numbers(line: Line) -> list[float]:
    """The values that are some."""
    return [value for _, value in line.samples if value is not None]


def dated(line: Line) -> tuple[list[float], list[float]]:
    """Instants as matplotlib counts them, and values with gaps where there is none."""
    values = [math.nan if value is None else value for _, value in line.samples]
    return [at / DAY_SECONDS for at, _ in line.samples], values


def finish_time(axes: Axes, span: Answers) -> None:
    """The axis of time."""
    axes.set_xlim(span.began_at / DAY_SECONDS, span.ended_at / DAY_SECONDS)
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S", tz=num2date(0).tzinfo))
    axes.grid(color=GRID, lw=0.5)
    axes.set_axisbelow(True)


def legend(axes: Axes, count: int) -> None:
    """Below the plot; what has no room there is counted."""
    if not count:
        return
    more = f"  and {count - LEGEND_MOST} more" if count > LEGEND_MOST else ""
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=4,
        fontsize=5.5,
        frameon=False,
        labelcolor=INK,
        handlelength=1.0,
        columnspacing=0.9,
        borderaxespad=0,
    )
    if more:
        axes.text(1, -0.26, more, transform=axes.transAxes, ha="right", color=FAINT, fontsize=5.5)


def stat(axes: Axes, panel: Panel, answers: Sequence[Answer], _span: Answers) -> None:
    """Numbers on their colours; a second query that is called target is the limit."""
    limits = [line.last for name, line in named_lines(list(answers)) if name == TARGET]
    values = [(name, line.last) for name, line in named_lines(list(answers)) if name != TARGET]
    thresholds = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    steps = [(-math.inf if s["value"] is None else s["value"], s["color"]) for s in thresholds]
    steps += [(limits[0], beyond(panel))] if limits and beyond(panel) else []
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    for number, (name, value) in enumerate(values):
        reached = [paint for least, paint in steps if value >= least]
        left, wide = number / len(values), 1 / len(values)
        paint = colour((reached or ["blue"])[-1])
        axes.axvspan(left + 0.01, left + wide - 0.01, color=paint, alpha=0.75)
        axes.text(left + wide / 2, 0.55, mapped(panel, value), **BIG)
        axes.text(left + wide / 2, 0.12, name, ha="center", fontsize=6.5, color="white")
    if not values:
        say(axes, "no data in this span")


BIG: Final[Mapping[str, Any]] = {
    "ha": "center",
    "va": "center",
    "fontsize": 13,
    "color": "white",
    "weight": "bold",
}


def beyond(panel: Panel) -> str:
    """The colour of a value that has reached the limit."""
    for each in panel.get("transformations", ()):
        for mapping in each["options"].get("mappings", ()):
            return str(mapping["handlerArguments"]["threshold"]["color"])
    return ""


def mapped(panel: Panel, value: float) -> str:
    """A number as text, or the word that stands for it."""
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", ()):
        if f"{value:g}" in mapping["options"]:
            return str(mapping["options"][f"{value:g}"]["text"])
    return shown(value, unit_of(panel))


def table(axes: Axes, panel: Panel, answers: Sequence[Answer], _span: Answers) -> None:
    """Rows by their labels, a column for each query."""
    names = panel["transformations"][-1]["options"]["renameByName"]
    by_ref = {
        answer.ref: names.get(f"Value #{answer.ref}", names.get("Value", "")) for answer in answers
    }
    labels = list(dict.fromkeys(k for a in answers for line in a.lines for k in line.labels))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for answer in answers:
        title = by_ref[answer.ref]
        unit = str(overrides(panel, title).get("unit", "short"))
        for line in answer.lines:
            key = tuple(line.labels.get(label, "") for label in labels)
            rows.setdefault(key, {})[title] = shown(line.last, unit)
    titles = list(by_ref.values())
    cells = [[*key, *(found.get(title, "") for title in titles)] for key, found in rows.items()]
    axes.axis("off")
    if not cells:
        say(axes, "no data in this span")
        return
    shown_cells = cells[:ROWS_MOST]
    tall = (len(shown_cells) + 1) / (ROWS_MOST + 1)
    made = axes.table(
        cellText=shown_cells,
        colLabels=[*labels, *titles],
        cellLoc="left",
        bbox=[0, 1 - tall, 1, tall],
    )
    made.auto_set_font_size(False)  # noqa: FBT003
    made.set_fontsize(7)
    for (row, _), cell in made.get_celld().items():
        cell.set(facecolor=CARD, edgecolor=GRID)
        cell.get_text().set_color(FAINT if row == 0 else INK)


def heatmap(axes: Axes, panel: Panel, answers: Sequence[Answer], span: Answers) -> None:
    """How many fell into each bucket, instant by instant."""
    found = [line for answer in answers for line in answer.lines]
    lines = sorted(found, key=lambda line: float(line.labels["le"]))
    finish_time(axes, span)
    if not lines:
        say(axes, "no data in this span")
        return
    at = sorted({instant for line in lines for instant, _ in line.samples})
    totals = [dict(line.samples) for line in lines]
    counts, below = [], dict.fromkeys(at, 0.0)
    for total in totals:
        counts.append([max(0.0, (total.get(each) or 0.0) - below[each]) or math.nan for each in at])
        below = {each: total.get(each) or 0.0 for each in at}
    days = [each / DAY_SECONDS for each in at]
    axes.pcolormesh(days, range(len(lines)), counts, cmap="Blues_r", shading="nearest")
    marks = range(0, len(lines), 3)
    unit = str(panel["options"]["yAxis"]["unit"])
    axes.set_yticks(list(marks), [bound(lines[each], unit) for each in marks])


def bound(line: Line, unit: str) -> str:
    """The upper bound of a bucket."""
    return "∞" if line.labels["le"] == "+Inf" else shown(float(line.labels["le"]), unit)


def timeline(axes: Axes, panel: Panel, answers: Sequence[Answer], span: Answers) -> None:
    """A row for each series, coloured by what its value means."""
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    lines = list(named_lines(list(answers)))
    for row, (_, line) in enumerate(lines):
        for (at, value), (until, _) in zip(line.samples, line.samples[1:], strict=False):
            meaning = options.get(f"{value:g}") if value is not None else None
            if meaning:
                bar = [(at / DAY_SECONDS, (until - at) / DAY_SECONDS)]
                axes.broken_barh(bar, (row - 0.4, 0.8), color=colour(meaning["color"]), lw=0)
    finish_time(axes, span)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    for meaning in options.values():
        axes.plot([], [], color=colour(meaning["color"]), lw=4, label=meaning["text"])
    legend(axes, len(options))


def bars(axes: Axes, _panel: Panel, answers: Sequence[Answer], _span: Answers) -> None:
    """One bar for each bucket: what it has beyond the one below."""
    lines = sorted(named_lines(list(answers)), key=lambda pair: float(pair[1].labels["le"]))
    found, below = [], 0.0
    for name, line in lines:
        found.append((name, max(0.0, line.last - below)))
        below = line.last
    axes.barh([name for name, _ in found], [value for _, value in found], color="#5794f2")
    axes.invert_yaxis()
    axes.grid(color=GRID, lw=0.5, axis="x")
    axes.set_axisbelow(True)
    if not found:
        say(axes, "no data in this span")


def alerts(axes: Axes, _panel: Panel, _answers: Sequence[Answer], span: Answers) -> None:
    """What fires at the end of the span."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    paints = {"critical": "red", "warning": "orange"}
    for number, each in enumerate(span.firing[:7]):
        name = each["alertname"].removeprefix("Tirelessd")
        of = each.get("queue", each.get("destination", each.get("store", "")))
        paint = colour(paints.get(each["severity"], "blue"))
        axes.text(0, 0.95 - number * 0.14, f"● {name} {of}", fontsize=6.5, color=paint, va="top")
    if not span.firing:
        say(axes, "none")


def elsewhere(axes: Axes, _panel: Panel, _answers: Sequence[Answer], _span: Answers) -> None:
    """A panel whose data do not come from Prometheus."""
    axes.axis("off")
    say(axes, "lines of the log, from Loki: not part of this rendering")


def say(axes: Axes, text: str) -> None:
    """A word in the middle."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=8
    )


Draw = Callable[[Axes, Panel, Sequence[Answer], Answers], None]
KINDS: Final[Mapping[str, Draw]] = {
    "timeseries": over_time,
    "stat": stat,
    "table": table,
    "heatmap": heatmap,
    "state-timeline": timeline,
    "bargauge": bars,
    "alertlist": alerts,
    "logs": elsewhere,
}
