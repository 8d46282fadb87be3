"""Draws curves over concurrency as SVG: one panel per figure, one line per contender with its spread. PURE.

Written by hand, because a plotting library would be the project's largest dependency for one picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from stoker.bench.spread import Spread, short

WIDTH, HEIGHT = 400, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 40
KEY_HEIGHT = 22
COLOURS = ("#c0392b", "#e08e0b", "#1f5fa8", "#6c7a89", "#2e8b57", "#8e44ad", "#16a2b8", "#7f5539", "#d6499a", "#4c4c4c")


@dataclass(frozen=True)
class Panel:
    """``lines``: per contender the spread at each concurrency. Both axes are logarithmic."""

    title: str
    unit: str
    lines: Mapping[str, Mapping[int, Spread]]


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, logarithmically."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """Returns grid lines: 1, 2 and 5 of each decade."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
        return [value for value in every if self.low <= value <= self.high]


def draw(panels: Sequence[Panel], *, title: str, columns: int = 3) -> str:
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    rows = -(-len(panels) // columns)
    width = columns * WIDTH
    key = _key(colours, width)
    head = 36 + KEY_HEIGHT * key[1]
    body = [
        _place(panel, colours, index % columns * WIDTH, head + index // columns * HEIGHT)
        for index, panel in enumerate(panels)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {head + rows * HEIGHT}" '
            f'width="{width}" height="{head + rows * HEIGHT}" font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="white"/>',
            _text(12, 22, title, size=15, weight="bold"),
            key[0],
            *body,
            "</svg>",
            "",
        ]
    )


def _key(colours: Mapping[str, str], width: int) -> tuple[str, int]:
    """Draws the legend, and returns its number of rows."""
    out, x, row = [], 12, 0
    for name, colour in colours.items():
        wide = 34 + 7 * len(name)
        if x + wide > width:
            x, row = 12, row + 1
        y = 40 + row * KEY_HEIGHT
        out.append(f'<rect x="{x}" y="{y - 4}" width="18" height="4" fill="{colour}"/>')
        out.append(_text(x + 23, y + 2, name))
        x += wide
    return "\n".join(out), row + 1


def _place(panel: Panel, colours: Mapping[str, str], x: int, y: int) -> str:
    return f'<g transform="translate({x},{y})">{_panel(panel, colours)}</g>'


def _panel(panel: Panel, colours: Mapping[str, str]) -> str:
    spreads = [spread for line in panel.lines.values() for spread in line.values() if spread.low > 0]
    points = sorted({c for line in panel.lines.values() for c in line})
    heading = _text(LEFT, 20, f"{panel.title}, {panel.unit}", weight="bold")
    if not spreads:
        return heading + _text(LEFT, HEIGHT / 2, "not measured")
    across = Axis(points[0] * 0.8, points[-1] * 1.25, LEFT, WIDTH - RIGHT)
    low, high = min(s.low for s in spreads), max(s.high for s in spreads)
    up = Axis(low * 0.8, high * 1.25, HEIGHT - BOTTOM, TOP)
    lines = [_line(line, colours[name], across, up) for name, line in panel.lines.items()]
    return heading + _grid(across, up, points) + "".join(lines)


def _grid(across: Axis, up: Axis, points: Sequence[int]) -> str:
    out = []
    for value in up.decades():
        y = up.at(value)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        out.append(_text(LEFT - 5, y + 4, short(value, 1), anchor="end"))
    for point in points:
        out.append(_text(across.at(point), HEIGHT - BOTTOM + 15, str(point), anchor="middle"))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "concurrency", anchor="middle"))
    bottom = HEIGHT - BOTTOM
    out.append(f'<path d="M{LEFT},{TOP} V{bottom} H{WIDTH - RIGHT}" fill="none" stroke="#888"/>')
    return "".join(out)


def _line(line: Mapping[int, Spread], colour: str, across: Axis, up: Axis) -> str:
    """Joins medians, with a vertical stroke from least to greatest."""
    shown = [(across.at(c), spread) for c, spread in sorted(line.items()) if spread.low > 0]
    if not shown:
        return ""
    path = " ".join(f"{x:.1f},{up.at(spread.median):.1f}" for x, spread in shown)
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, spread in shown:
        top, bottom = up.at(spread.high), up.at(spread.low)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{up.at(spread.median):.1f}" r="3" fill="{colour}"/>')
    return "".join(out)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="#222">{escape(text)}</text>'
    )
