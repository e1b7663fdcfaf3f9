"""`python -m grafana.source.pictures FOLDER` draws every dashboard for every answer file there."""

import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from grafana.source.dashboards import models
from grafana.source.pictures.answers import Answers
from grafana.source.pictures.draw import CARD, FAINT, INK, KINDS, PAPER

GRID: Final = 24
WIDE_INCHES: Final = 15.0
UNIT_INCHES: Final = 0.31
HEAD_INCHES: Final = 0.75
DOTS_PER_INCH: Final = 100
MOST_COLOURS: Final = 96
PICTURES: Final = Path("docs/dashboards")
CAPTION: Final = (
    "Drawn with matplotlib from what Prometheus answered to the queries of these panels; "
    "not a screenshot of Grafana."
)
# What is around a plot inside its panel, in inches: left, right, above, below.
ROOM: Final = (0.62, 0.15, 0.36, 0.62)
BARE: Final = (0.1, 0.1, 0.36, 0.1)


def draw(model: dict[str, Any], answers: Answers, case: str, path: Path) -> None:
    """One dashboard as a picture."""
    units = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in model["panels"])
    high = HEAD_INCHES + units * UNIT_INCHES + 0.1
    figure = Figure(figsize=(WIDE_INCHES, high), dpi=DOTS_PER_INCH, facecolor=PAPER)
    head = {"transform": figure.dpi_scale_trans}
    figure.text(0.15, high - 0.33, f"{model['title']}: {case}", color=INK, fontsize=15, **head)
    figure.text(0.15, high - 0.58, CAPTION, color=FAINT, fontsize=8, **head)
    for panel in model["panels"]:
        place(figure, panel, answers, model["uid"], high)
    figure.savefig(path, facecolor=PAPER)
    # A few dozen colours say all there is to say, in a third of the bytes.
    Image.open(path).convert("RGB").quantize(MOST_COLOURS).save(path, optimize=True)


def place(figure: Figure, panel: dict[str, Any], answers: Answers, uid: str, high: float) -> None:
    """One panel where the dashboard has it."""
    spot = panel["gridPos"]
    left, wide = spot["x"] * WIDE_INCHES / GRID, spot["w"] * WIDE_INCHES / GRID
    tall = spot["h"] * UNIT_INCHES
    bottom = high - HEAD_INCHES - spot["y"] * UNIT_INCHES - tall
    title = panel["title"].replace("$queue", "all queues")
    inches = {"transform": figure.dpi_scale_trans}
    if panel["type"] == "row":
        figure.text(left + 0.1, bottom + 0.1, f"⌄ {title}", color=INK, fontsize=10, **inches)
        return
    corner = (left + 0.04, bottom + 0.04)
    card = Rectangle(corner, wide - 0.08, tall - 0.08, facecolor=CARD, zorder=-1, **inches)
    figure.add_artist(card)
    figure.text(left + 0.13, bottom + tall - 0.25, title, color=INK, fontsize=8, **inches)
    is_plot = panel["type"] in ("timeseries", "heatmap", "state-timeline", "bargauge")
    west, east, north, south = ROOM if is_plot else BARE
    box = (left + west, bottom + south, wide - west - east, tall - north - south)
    scale = (WIDE_INCHES, high, WIDE_INCHES, high)
    axes = figure.add_axes(tuple(a / b for a, b in zip(box, scale, strict=True)), facecolor=CARD)
    axes.tick_params(colors=FAINT, labelsize=6.5, length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    KINDS[panel["type"]](axes, panel, answers.of(uid, panel), answers)


def main(folder: Path) -> None:
    """Every dashboard of every case."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.glob("*.json")):
        answers = msgspec.json.decode(file.read_bytes(), type=Answers)
        for model in models():
            path = PICTURES / f"{model['uid'].removeprefix('tirelessd-')}-{file.stem}.png"
            draw(model, answers, CASES.get(file.stem, file.stem), path)
            sys.stdout.write(f"{path}: {path.stat().st_size // 1024} KiB\n")


CASES: Final = {"load": "under load", "outage": "an upstream that answers 500"}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
