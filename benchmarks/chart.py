"""Grouped bars as SVG, without a dependency."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log10
from xml.sax.saxutils import escape

COLOURS = ("#1f6feb", "#d9822b", "#e8b36b", "#2e9e6b", "#8a63d2", "#8b949e")
_INK, _FAINT = "#24292f", "#d8dee4"

_WIDTH, _PANEL = 860, 250
_LEFT, _RIGHT, _TOP, _GAP = 70, 20, 96, 80
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes.

    Attributes:
        title: Stands above.
        groups: The labels under the horizontal axis.
        series: For each name, a value per group; None leaves the bar out.
        labels: How a bar's value is written on top of it, in the same order.
    """

    title: str
    groups: list[str]
    series: dict[str, list[float | None]]
    labels: dict[str, list[str]]


def grouped_bars(title: str, y_label: str, x_label: str, panels: list[Panel]) -> str:
    """Return the picture; all panels share the series' colours."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    height = _TOP + len(panels) * (_PANEL + _GAP)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}'"
        f" width='{_WIDTH}' height='{height}' role='img' {_FONT}>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(_LEFT, 26, title, size=17, weight=600),
        *_legend(colours),
    ]
    for index, panel in enumerate(panels):
        top = _TOP + index * (_PANEL + _GAP)
        parts += _panel(panel, top, colours, y_label, x_label)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(colours: dict[str, str]) -> Iterator[str]:
    x = float(_LEFT)
    for name, colour in colours.items():
        yield f"<rect x='{x:.0f}' y='40' width='12' height='12' fill='{colour}'/>"
        yield _text(x + 17, 50, name, size=12)
        x += 34 + 6.6 * len(name)


def _panel(
    panel: Panel, top: int, colours: dict[str, str], y_label: str, x_label: str
) -> Iterator[str]:
    bottom, middle = top + _PANEL, top + _PANEL / 2
    highest = max(value or 0.0 for values in panel.series.values() for value in values)
    step = _step(highest)
    ceiling = step * (floor(highest / step) + 1)
    yield _text(_LEFT, top - 16, panel.title, size=13, weight=600)
    yield (
        f"<text transform='translate(18 {middle:.0f}) rotate(-90)' text-anchor='middle'"
        f" font-size='12' fill='{_INK}'>{escape(y_label)}</text>"
    )
    for count in range(round(ceiling / step) + 1):
        y = bottom - count * step / ceiling * _PANEL
        yield _line(_LEFT, y, _WIDTH - _RIGHT, y)
        yield _text(_LEFT - 8, y + 4, f"{count * step:g}", size=11, anchor="end")
    yield from _bars(panel, bottom, ceiling, colours)
    yield _text((_LEFT + _WIDTH) / 2, bottom + 38, x_label, size=12, anchor="middle")


def _bars(panel: Panel, bottom: int, ceiling: float, colours: dict[str, str]) -> Iterator[str]:
    room = (_WIDTH - _LEFT - _RIGHT) / len(panel.groups)
    width = room * 0.84 / len(panel.series)
    for index, group in enumerate(panel.groups):
        start = _LEFT + room * (index + 0.08)
        yield _text(start + room * 0.42, bottom + 18, group, size=12, anchor="middle")
        for place, (name, values) in enumerate(panel.series.items()):
            value = values[index]
            if value is None:
                continue
            x, tall = start + place * width, value / ceiling * _PANEL
            yield (
                f"<rect x='{x:.1f}' y='{bottom - tall:.1f}' width='{width - 2:.1f}'"
                f" height='{tall:.1f}' fill='{colours[name]}'/>"
            )
            label = panel.labels[name][index]
            yield _text(x + width / 2 - 1, bottom - tall - 4, label, size=10, anchor="middle")


def _step(highest: float) -> float:
    """Return a round distance between lines that gives four to ten of them."""
    power = 10.0 ** floor(log10(highest or 1.0))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if highest / power < part * 8)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1:g}' y1='{y1:.1f}' x2='{x2:g}' y2='{y2:.1f}' stroke='{_FAINT}'/>"


def _text(
    x: float, y: float, words: str, *, size: int, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' font-weight='{weight}'"
        f" text-anchor='{anchor}' fill='{_INK}'>{escape(words)}</text>"
    )
