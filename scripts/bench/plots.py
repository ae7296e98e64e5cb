# SPDX-License-Identifier: Apache-2.0
"""The plots of docs/performance.md as SVG: bars of ratios, and lines."""

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter, StrMethodFormatter

# Text stays text, and equal results give equal files.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "qed", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})
COLOURS = ("#1b6ca8", "#c8553d", "#6a994e", "#8d6b94")


def _write(figure, path):
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None},
                   bbox_inches="tight")
    # No white space at the ends of lines.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _sides_of_groups(axes, groups, sides):
    """Draws bars for every side, one group below the other; returns the middle of each group."""
    middles, y = [], 0
    for _, ratios, goal in groups:
        top = y - 0.5
        for side in sides:
            if side in ratios:
                bar = axes.barh(y, ratios[side] - 1, left=1, height=0.9, label=side,
                                color=COLOURS[sides.index(side)])
                axes.bar_label(bar, [f"{ratios[side]:.2f}"], padding=3, fontsize=7,
                               bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
                y += 1
        if goal:
            axes.vlines(goal, top, y - 0.5, color="black", label="goal")
        middles.append((top + y - 0.5) / 2)
        y += 1
    return middles


def ratio_bars(path, title, groups, sides):
    """`groups`: [(name, {side: ratio}, goal or None)], on a logarithmic axis that starts at 1."""
    bars = sum(len(ratios) + 1 for _, ratios, _ in groups)
    figure = Figure(figsize=(9, 1 + 0.14 * bars))
    axes = figure.subplots()
    middles = _sides_of_groups(axes, groups, sides)
    axes.set_yticks(middles, [name for name, _, _ in groups])
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labeltop=True, left=False)
    axes.grid(axis="x", color="#ddd")
    axes.axvline(1, color="#444")
    axes.set_axisbelow(True)
    axes.margins(x=0.1, y=0.005)
    axes.invert_yaxis()
    axes.set_title(title, fontweight="bold", pad=24)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend(handles.values(), handles.keys(), loc="upper center", ncol=len(handles),
                bbox_to_anchor=(0.5, -1.5 / bars), frameon=False)
    _write(figure, path)


def growth(path, axis, points):
    """Cost of a request above memory, both with axes that start at zero."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    panels = figure.subplots(2, sharex=True)
    places = range(len(points))
    costs = (("CPU for each read, µs", ".2f", [cpu / 1000 for _, cpu, _ in points]),
             ("memory, KiB", ",.0f", [memory / 1024 for _, _, memory in points]))
    for axes, colour, (title, form, values) in zip(panels, COLOURS, costs):
        axes.plot(places, values, marker="o", color=colour)
        for x, value in zip(places, values):
            axes.annotate(format(value, form), (x, value), xytext=(0, 6),
                          textcoords="offset points", ha="center", fontsize=8)
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_ylim(0, max(values) * 1.3 or 1)
        axes.set_xmargin(0.1)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    panels[1].set_xticks(places, [f"{x:,}" for x, _, _ in points])
    panels[1].set_xlabel(axis)
    _write(figure, path)
