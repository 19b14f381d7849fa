"""Two kinds of picture as SVG (W3C SVG 2): lines over a size, and bars beside one another.

Text is text, so it can be found and read out; colours follow the reader's light or dark theme.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 48, 84
_BAR, _LABEL = 26, 250
_MOST_DOTS = 40
# Told apart by lightness too, and by the shape of their dashes.
_COLOURS = (("#0b62c4", "#6cb2ff"), ("#b4480a", "#ffa366"), ("#2c7a3f", "#7ad693"),
            ("#7b3fb5", "#cda4ff"), ("#8a6d00", "#e6c84f"))  # fmt: skip
_DASHES = ("none", "7 4", "2 3", "10 3 2 3", "4 2")
_FONT = "text{font:13px system-ui,sans-serif}.title{font-weight:600}"
_LIGHT = "text{fill:#1f2328}.axis{stroke:#59636e}.grid{stroke:#d1d9e0}"
_DARK = "text{fill:#e6edf3}.axis{stroke:#9198a1}.grid{stroke:#3d444d}"


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """``is_ours`` has a colour of its own."""

    name: str
    value: float
    is_ours: bool = False


def lines(title: str, x: str, y: str, drawn: Sequence[Line]) -> str:
    """Both axes from 0, a legend below."""
    every = [point for line in drawn for point in line.points]
    across = _ticks(max(point[0] for point in every))
    up = _ticks(max(point[1] for point in every))
    body = [*_grid(across, up, x, y)]
    for number, line in enumerate(drawn):
        body += _line(number, line, across[-1], up[-1])
    return _picture(title, HEIGHT, body)


def bars(title: str, unit: str, drawn: Sequence[Bar]) -> str:
    """One below the other, each with its number, from 0."""
    longest = max(bar.value for bar in drawn) or 1
    room = WIDTH - _LABEL - 120
    body = []
    for number, bar in enumerate(drawn):
        y, length = TOP + number * _BAR, max(1.0, bar.value / longest * room)
        body.append(_text(_LABEL - 10, y + 16, bar.name, "end"))
        kind = "c0" if bar.is_ours else "c1"
        body.append(
            f'<rect class="{kind}" x="{_LABEL}" y="{y + 3}" width="{length:.1f}" height="18"/>'
        )
        body.append(_text(_LABEL + length + 8, y + 16, f"{short(bar.value)} {unit}", "start"))
    return _picture(title, TOP + len(drawn) * _BAR + 16, body)


def short(value: float) -> str:
    """A number in few characters: 2.5 M, 100 k, 0.25."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _ticks(most: float) -> list[float]:
    """From 0 in steps of 1, 2 or 5 times a power of ten, up to ``most`` or just beyond."""
    if most <= 0:
        return [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(most))
    step = next(size * part for part in (0.1, 0.2, 0.5, 1, 2) if most / (size * part) <= 6)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _grid(across: Sequence[float], up: Sequence[float], x: str, y: str) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in up:
        at = _y(value, up[-1])
        kind = "grid" if value else "axis"
        yield f'<line class="{kind}" x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>'
        yield _text(LEFT - 8, at + 4, short(value), "end")
    for value in across:
        at = _x(value, across[-1])
        yield f'<line class="axis" x1="{at:.1f}" y1="{bottom}" x2="{at:.1f}" y2="{bottom + 5}"/>'
        yield _text(at, bottom + 20, short(value), "middle")
    yield f'<line class="axis" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{bottom}"/>'
    yield _text((LEFT + right) / 2, bottom + 40, x, "middle")
    yield _text(LEFT - 70, TOP - 10, y, "start")


def _line(number: int, line: Line, most_x: float, most_y: float) -> Iterator[str]:
    kind = f"c{number % len(_COLOURS)}"
    points = [(_x(x, most_x), _y(y, most_y)) for x, y in sorted(line.points)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline class="line {kind}" points="{joined}"/>'
    # Of many the line alone is seen.
    for x, y in points if len(points) <= _MOST_DOTS else ():
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    at, below = LEFT + number % 3 * 220, HEIGHT - 26 + number // 3 * 18
    yield f'<polyline class="line {kind}" points="{at},{below - 4} {at + 28},{below - 4}"/>'
    yield _text(at + 34, below, line.name, "start")


def _x(value: float, most: float) -> float:
    return LEFT + value / most * (WIDTH - RIGHT - LEFT)


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _picture(title: str, height: int, body: Sequence[str]) -> str:
    light = "".join(_colour(n, light) for n, (light, _) in enumerate(_COLOURS))
    dark = "".join(_colour(n, dark) for n, (_, dark) in enumerate(_COLOURS))
    style = (
        f"{_FONT}{_LIGHT}.line{{fill:none!important;stroke-width:2}}{light}"
        f"@media (prefers-color-scheme:dark){{{_DARK}{dark}}}"
    )
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
        *body,
        "</svg>\n",
    ))  # fmt: skip


def _colour(number: int, colour: str) -> str:
    dash = _DASHES[number]
    return f".c{number}{{fill:{colour};stroke:{colour}}}.line.c{number}{{stroke-dasharray:{dash}}}"
