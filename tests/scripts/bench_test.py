#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/bench.sh writes tables and plots from its measurements."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench"))

import disks  # noqa: E402  (found by the line above)
import main  # noqa: E402
import plots  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402


def runs(*speeds):
    zeroes = [0.0] * len(speeds)
    return {"speed": list(speeds), "cpu_us": list(speeds), "read_bytes": zeroes,
            "write_bytes": zeroes, "system_calls": None, "command": "qed bench"}


def case():
    return {"key": "a1", "name": "reads", "unit": "requests/s", "operation": "request",
            "baseline": "QEMU qed", "target": ">= 2",
            "sides": {"libqed": runs(10.0, 40.0, 30.0), "QEMU qed": runs(10.0, 10.0, 10.0)}}


RESULTS = {
    "machine": {"processor": "a processor", "processors": 2, "memory_gib": 4, "kernel": "6.1",
                "file_system": "ext4", "versions": ["qemu-img version 7.2"]},
    "rounds": 3, "short": True, "load": 0.1, "ended": "2026-01-01", "commit": "0123abc",
    "cases": [case()], "proof": ["equal"], "scaling": {"threads": [[1, 900.0, 4096.0]]},
    "parts": [["cache hit", "threads:1", 7.25]]}


class FailingCase:
    """A case whose sides fail a given number of times before they succeed."""

    def __init__(self, failures):
        self.failures = failures

    def measure(self, _):
        self.failures -= 1
        if self.failures >= 0:
            process.fail("an assertion")
        return "measured"


class FailureTest(unittest.TestCase):
    def test_another_program_may_fail_twice(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(main.measure_side(FailingCase(2), "qemu-nbd"), "measured")
            with self.assertRaises(SystemExit):
                main.measure_side(FailingCase(3), "qemu-nbd")
        self.assertIn("an assertion", said.getvalue())

    def test_libqed_may_not(self):
        with self.assertRaises(SystemExit):
            main.measure_side(FailingCase(1), "libqed")


class BenchReportTest(unittest.TestCase):
    def test_compares_round_by_round_and_names_the_median(self):
        self.assertEqual(report.ratios(case(), "libqed"), [1.0, 4.0, 3.0])
        text = report.document(RESULTS)
        self.assertIn("| a1 | reads | >= 2 | **3.00** | 1.00 .. 4.00 |", text)

    def test_document_states_machine_and_parts(self):
        text = report.document(RESULTS)
        for part in ("2 processors (a processor)", "commit 0123abc",
                     "| cache hit | threads:1 | 7.25 |"):
            self.assertIn(part, text)

    def test_measurements_state_machine_proof_and_commands(self):
        text = report.measurements(RESULTS)
        for part in ("2 processors (a processor)", "commit 0123abc", "- equal", "`qed bench`",
                     "| a1: reads, requests/s | libqed | 30.00 | **3.00** | 1.00 .. 4.00 |"):
            self.assertIn(part, text)

    def test_draws_pictures_that_are_well_formed(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "plot.svg"
            plots.ratio_bars(path, "reads & writes", [("reads", {"libqed": 3.0}, 2.0)], ["libqed"])
            bars = [node.text for node in xml.etree.ElementTree.parse(path).iter()]
            plots.growth(path, "threads", [[1, 900.0, 0.0], [2, 950.0, 0.0]])
            texts = [node.text for node in xml.etree.ElementTree.parse(path).iter()]
        for words in ("reads & writes", "3.00", "goal"):
            self.assertIn(words, bars)
        self.assertIn("0.90", texts)


class BenchResultsTest(unittest.TestCase):
    def test_a_part_takes_the_place_of_its_like_and_leaves_the_rest(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "results" / "results.json"
            other = case() | {"key": "b", "name": "writes"}
            main.keep({"cases": [case(), other], "rounds": 5}, path, "")
            again = case() | {"target": ">= 9"}
            found = main.keep({"cases": [again], "rounds": 1}, path, "reads")
            kept = json.loads(path.read_text())
        self.assertEqual([one["target"] for one in kept["cases"]], [">= 9", ">= 2"])
        self.assertEqual(kept, found)


class BenchDisksTest(unittest.TestCase):
    def test_scattered_clusters_are_each_named_once(self):
        places = {n * 0x9E3779B1 % 4096 for n in range(4096)}
        self.assertEqual(len(places), 4096)

    def test_makes_images_that_the_format_allows(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "disk.qed"
            disks.write_tables(path, 1, lambda n: n if n % 2 else -1)
            with open(path, "rb") as file:
                data = file.read(disks.CLUSTER + 2 * disks.TABLE)
            size = path.stat().st_size
        first_data = disks.CLUSTER + 2 * disks.TABLE
        table = data[disks.CLUSTER + disks.TABLE:]
        entries = [int.from_bytes(table[i:i + 8], "little") for i in range(0, 32, 8)]
        self.assertEqual(data[:4], b"QED\0")
        self.assertEqual(entries, [0, first_data + disks.CLUSTER, 0,
                                   first_data + 3 * disks.CLUSTER])
        self.assertEqual(size, first_data + disks.ENTRIES * disks.CLUSTER)


if __name__ == "__main__":
    unittest.main()
