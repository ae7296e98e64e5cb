# SPDX-License-Identifier: Apache-2.0
"""Small SVG plots, without a library: bars of ratios, and lines."""

import math
from xml.sax.saxutils import escape

COLOURS = ("#1b6ca8", "#c8553d", "#6a994e", "#8d6b94", "#b08900", "#555555")
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'


class Drawing:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def text(self, x, y, words, anchor="start", extra=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {extra}>'
                          f"{escape(str(words))}</text>")

    def line(self, x1, y1, x2, y2, colour="#bbb", width=1):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"/>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
                          f'height="{height:.1f}" fill="{colour}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def write(self, path):
        body = "\n".join(self.parts)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n')


def ratio_bars(path, title, groups, sides):
    """`groups`: [(name, {side: ratio})], on a logarithmic axis on which 1 is the baseline."""
    left, right, bar, gap = 330, 60, 11, 10
    height = 84 + sum(len(ratios) * bar + gap for _, ratios in groups)
    drawing = Drawing(900, height)
    most = max(max(ratios.values()) for _, ratios in groups) * 1.15
    least = min(0.5, min(min(ratios.values()) for _, ratios in groups))
    span = math.log(most / least)

    def place(ratio):
        return left + math.log(ratio / least) / span * (900 - left - right)

    drawing.text(10, 20, title, extra='font-weight="bold"')
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if least <= tick <= most:
            drawing.line(place(tick), 40, place(tick), height - 34,
                         "#444" if tick == 1 else "#ddd")
            drawing.text(place(tick), 36, f"{tick:g}", "middle")
    y = 46
    for name, ratios in groups:
        drawing.text(left - 8, y + len(ratios) * bar / 2 + 4, name, "end")
        for side, ratio in ratios.items():
            start, end = sorted((place(1), place(ratio)))
            drawing.box(start, y, end - start, bar - 2, COLOURS[sides.index(side)])
            drawing.text(end + 3, y + bar - 2, f"{ratio:.2f}", extra='style="font-size:9px"')
            y += bar
        y += gap
    for number, side in enumerate(sides):
        x, row = 10 + number * 180, height - 12
        drawing.box(x, row - 9, 10, 10, COLOURS[number])
        drawing.text(x + 15, row, side)
    drawing.write(path)


def _bytes(value):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def _panel(drawing, top, title, names, values, colour, show):
    left, width, height = 70, 340, 130
    most = max(values) * 1.2 or 1
    drawing.text(left, top - 8, title)
    drawing.line(left, top, left, top + height, "#444")
    drawing.line(left, top + height, left + width, top + height, "#444")
    before = None
    for number, (name, value) in enumerate(zip(names, values)):
        x = left + 25 + number * (width - 50) / max(len(values) - 1, 1)
        y = top + height * (1 - value / most)
        if before:
            drawing.line(*before, x, y, colour, 2)
        drawing.dot(x, y, colour)
        drawing.text(x, y - 8, show(value), "middle")
        drawing.text(x, top + height + 16, name, "middle")
        before = (x, y)


def growth(path, axis, points):
    """Cost of a request and memory, from zero on, one above the other."""
    drawing = Drawing(440, 400)
    names = [f"{x:,}" for x, _, _ in points]
    _panel(drawing, 40, "CPU for each read, µs", names, [cpu / 1000 for _, cpu, _ in points],
           COLOURS[0], lambda value: f"{value:.2f}" if value < 10 else f"{value:.0f}")
    _panel(drawing, 220, "memory", names, [memory for _, _, memory in points], COLOURS[1], _bytes)
    drawing.text(240, 392, axis, "middle")
    drawing.write(path)
