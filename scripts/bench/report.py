# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of docs/performance.md and bench/results/measurements.md from results."""

import pathlib
import re
from statistics import median

import plots
import scaling

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "performance.md"
MEASUREMENTS = ROOT / "bench" / "results" / "measurements.md"
PICTURES = ROOT / "docs" / "plots"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# Programs that do the same work without an image format, or no work at all: hardly to be beaten.
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
    lines = ["| # | work | goal | result | lowest .. highest round | CPU / QEMU's CPU | limit |",
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
    lines = ["| size of | reads: CPU and memory |", "| --- | --- |"]
    for name, points in results["scaling"].items():
        cells = "; ".join(f"{x:,}: {cpu / 1000:.2f} µs, {memory / 1024:,.0f} KiB"
                          for x, cpu, memory in points)
        lines.append(f"| {scaling.AXES[name]} | {cells} |")
    return lines


def _machine_line(results):
    machine = results["machine"]
    return (f"{machine['processors']} processors ({machine['processor']}), "
            f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['file_system']}; "
            f"{'; '.join(machine['versions'])}. {results['rounds']} rounds, interleaved"
            f"{', short runs' if results['short'] else ''}; load average at the end "
            f"{results['load']:.1f}; {results['ended']}, commit {results['commit']}.")


def document(results):
    """The text between the two marks of docs/performance.md."""
    lines = [
        _machine_line(results), "", "### Goals and results", "",
        "`limit` is the ratio, in the same rounds, of a program that does the same work on a raw "
        "file, or no work at all.", "", *_goal_lines(results), ""]
    if results["scaling"]:
        lines += ["![Speed compared with QEMU's qed driver](plots/ratios.svg)", "",
                  "### Growth", "", *_scaling_lines(results), ""]
        lines += [f"![{axis}](plots/{name}.svg)" for name, axis in scaling.AXES.items()]
    if results["parts"]:
        lines += ["", "### Single operations", "",
                  "Nanoseconds of a thread's CPU time for each operation, medians of 3.", "",
                  "| operation | | ns |", "| --- | --- | --- |"]
        lines += [f"| {what} | {arguments} | {_figure(cpu)} |"
                  for what, arguments, cpu in results["parts"]]
    return "\n".join(lines)


def measurements(results):
    """The page with every figure and the command that measured it."""
    lines = [
        "# Measurements", "",
        "`scripts/bench.sh --write` makes this page; docs/performance.md explains it.", "",
        _machine_line(results), "",
        "## All programs", "",
        "Ratios are to QEMU's qed driver, or to qemu-nbd, round by round. CPU in µs, system calls "
        "and bytes are for each request, MiB, cluster or extent; bytes are those read from the "
        "disk and dirtied in its cache.", "",
        "| work | program | speed | ratio | lowest .. highest | CPU | calls | read | written |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for case in results["cases"]:
        lines += case_lines(case)
    if results["proof"]:
        lines += ["", "## Proof that all programs do the same work", ""]
        lines += [f"- {sentence}" for sentence in results["proof"]]
    lines += ["", "## Commands", ""]
    for case in results["cases"]:
        lines += [f"- {case['key']}: {case['name']}"]
        lines += [f"  - {side}: `{runs['command']}`" for side, runs in case["sides"].items()]
    return "\n".join(lines) + "\n"


def draw(results):
    PICTURES.mkdir(exist_ok=True)
    groups = []
    for case in results["cases"]:
        if case["baseline"] == "QEMU qed":
            shown = {side: median(ratios(case, side))
                     for side in RATIO_SIDES if side in case["sides"]}
            goal = re.match(r">= ([0-9.]+)", case["target"])
            groups.append((case["name"], shown, float(goal[1]) if goal else None))
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
    MEASUREMENTS.write_text(measurements(results))
    draw(results)
