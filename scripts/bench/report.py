# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of docs/performance.md from a set of results."""

import pathlib
import re
from statistics import median

import plots
import scaling

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "plots"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# What does the work without an image format, or no work at all: hardly anybody can pass it by far.
LIMITS = ("fio raw", "cp", "nbdkit null", "dd of the tables")
RATIO_SIDES = ("libqed", "QEMU qcow2", "QEMU raw", "fio raw")


def ratios(case, side):
    """Speed of `side` over that of the baseline, round by round."""
    baseline = case["sides"][case["baseline"]]["speed"]
    return [ours / theirs for ours, theirs in zip(case["sides"][side]["speed"], baseline)]


def _figure(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.01 or value == 0 else f"{value:.4f}"


def case_lines(case):
    """A table row for each program."""
    lines = []
    for number, (side, runs) in enumerate(case["sides"].items()):
        found = ratios(case, side)
        calls = "" if runs["system_calls"] is None else _figure(runs["system_calls"])
        name = f"{case['key']}: {case['name']}, {case['unit']}" if number == 0 else ""
        lines.append(
            f"| {name} | {side} | {_figure(median(runs['speed']))} | **{median(found):.2f}** | "
            f"{min(found):.2f} .. {max(found):.2f} | {_figure(median(runs['cpu_us']))} | {calls} | "
            f"{_figure(median(runs['read_bytes']))} | {_figure(median(runs['write_bytes']))} |")
    return lines


def _goal_lines(results):
    lines = ["| # | work | wanted | reached | lowest .. highest round | CPU, of QEMU's | limit |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for case in results["cases"]:
        side = "libqed" if "libqed" in case["sides"] else "libqed, 16"
        if side not in case["sides"] or not case["target"]:
            continue
        found = ratios(case, side)
        cpu = [ours / theirs for ours, theirs in zip(
            case["sides"][side]["cpu_us"], case["sides"][case["baseline"]]["cpu_us"]) if theirs]
        share = f"{median(cpu):.2f}" if cpu else ""
        limit = "; ".join(f"{name} {median(ratios(case, name)):.2f}"
                          for name in LIMITS if name in case["sides"])
        lines.append(f"| {case['key']} | {case['name']} | {case['target']} | "
                     f"**{median(found):.2f}** | {min(found):.2f} .. {max(found):.2f} | {share} | "
                     f"{limit} |")
    return lines


def _scaling_lines(results):
    lines = ["| what grows | " + "reads: CPU and memory |", "| --- | --- |"]
    for name, points in results["scaling"].items():
        cells = "; ".join(f"{x:,}: {cpu / 1000:.2f} µs, {memory / 1024:,.0f} KiB"
                          for x, cpu, memory in points)
        lines.append(f"| {scaling.AXES[name]} | {cells} |")
    return lines


def document(results):
    """What stands between the two marks of the page."""
    machine = results["machine"]
    lines = [
        f"{machine['processors']} processors ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['file_system']}; "
        f"{'; '.join(machine['versions'])}. {results['rounds']} rounds, interleaved"
        f"{', short runs' if results['short'] else ''}; load average at the end "
        f"{results['load']:.1f}; {results['ended']}, commit {results['commit']}.", "",
        "### Wanted and reached", "",
        "`limit` is what a program reached in the same rounds that does the bare work on a raw "
        "file, or none at all.", "", *_goal_lines(results), ""]
    if results["scaling"]:
        lines += ["![Speed beside QEMU's qed driver](plots/ratios.svg)", ""]
    lines += [
        "### Everything measured", "",
        "Ratios are to QEMU's qed driver, or to qemu-nbd, round by round. CPU in µs, system calls "
        "and bytes are for each request, MiB, cluster or extent; bytes are those read from the "
        "disk and dirtied in its cache.", "",
        "| work | program | speed | ratio | lowest .. highest | CPU | calls | read | written |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for case in results["cases"]:
        lines += case_lines(case)
    if results["proof"]:
        lines += ["", "The same work, shown before anything was measured:", ""]
        lines += [f"- {sentence}" for sentence in results["proof"]]
    if results["scaling"]:
        lines += ["", "### What grows with what", "", *_scaling_lines(results), ""]
        lines += [f"![{axis}](plots/{name}.svg)" for name, axis in scaling.AXES.items()]
    if results["parts"]:
        lines += ["", "### The parts, in process", "",
                  "Nanoseconds of a thread's CPU time for each operation, medians of 3.", "",
                  "| what | | ns |", "| --- | --- | --- |"]
        lines += [f"| {what} | {arguments} | {_figure(cpu)} |"
                  for what, arguments, cpu in results["parts"]]
    lines += ["", "<details><summary>The commands</summary>", ""]
    for case in results["cases"]:
        lines += [f"- {case['key']}: {case['name']}"]
        lines += [f"  - {side}: `{runs['command']}`" for side, runs in case["sides"].items()]
    return "\n".join([*lines, "", "</details>"])


def draw(results):
    PICTURES.mkdir(exist_ok=True)
    groups = []
    for case in results["cases"]:
        if case["baseline"] == "QEMU qed":
            shown = {side: median(ratios(case, side))
                     for side in RATIO_SIDES if side in case["sides"]}
            wanted = re.match(r">= ([0-9.]+)", case["target"])
            groups.append((case["name"], shown, float(wanted[1]) if wanted else None))
    if groups:
        plots.ratio_bars(PICTURES / "ratios.svg", "Speed over that of QEMU's qed driver", groups,
                         list(RATIO_SIDES))
    for name, points in results["scaling"].items():
        plots.growth(PICTURES / f"{name}.svg", scaling.AXES[name], points)


def write(results):
    page = DOCUMENT.read_text()
    if not re.search(f"{BEGIN}.*{END}", page, re.DOTALL):
        raise SystemExit(f"bench: {DOCUMENT.name} has no place for the figures ({BEGIN})")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{document(results)}\n{END}{after}")
    draw(results)
