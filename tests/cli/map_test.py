#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maps of many extents, which several threads print in pieces, compared with those of qemu-img."""

import array
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import qedtest  # noqa: E402
from qedformat import HEADER, UNALLOCATED, ZERO  # noqa: E402
from qedtest import QED, TIMEOUT, run  # noqa: E402

ENTRIES_WITH_64K = 4 * 65536 // 8


def write_image(path, cluster, table_clusters, entries):
    """An image with full tables. An entry is a marker or the number (>= 2) of a data cluster."""
    table_bytes = cluster * table_clusters
    per_table = table_bytes // 8
    tables = -(-len(entries) // per_table)
    first_table = cluster + table_bytes
    first_data = first_table // cluster + tables * table_clusters
    places = array.array("Q", (
        entry if entry in (UNALLOCATED, ZERO) else (first_data + entry - 2) * cluster
        for entry in entries))
    with open(path, "wb") as file:
        file.write(HEADER.pack(b"QED\0", cluster, table_clusters, 1, 0, 0, 0, cluster,
                               len(entries) * cluster, 0, 0))
        file.seek(cluster)
        array.array("Q", (first_table + i * table_bytes for i in range(tables))).tofile(file)
        file.seek(first_table)
        places.tofile(file)
        file.truncate((first_data + len(entries)) * cluster)
    return first_table


class MapTest(qedtest.TestCase):
    def expect_as_qemu(self, image, *options):
        words = ("map", "-f", "qed", *options, image)
        want, got = run("qemu-img", *words).out, run(QED, *words).out
        if want != got:  # megabytes, so show only the first difference
            pairs = zip(want.splitlines(), got.splitlines())
            first = next((pair for pair in pairs if pair[0] != pair[1]), "one is longer")
            self.fail(f"{' '.join(map(str, words))}: qemu-img and qed: {first}")

    def alternating(self, name, cluster, table_clusters, clusters):
        path = self.path(name)
        self.table = write_image(path, cluster, table_clusters,
                                 [i // 2 + 2 if i % 2 == 0 else UNALLOCATED
                                  for i in range(clusters)])
        return path

    def test_every_other_cluster(self):
        image = self.alternating("a.qed", 65536, 4, 2 * ENTRIES_WITH_64K)
        self.expect_as_qemu(image)
        self.expect_as_qemu(image, "--output=json")
        self.expect_as_qemu(image, "--output=json", "-s", "700000000", "-l", "2000000000")

    def test_more_text_than_a_thread_keeps(self):
        image = self.alternating("small.qed", 4096, 16, 160 * 1024)
        self.expect_as_qemu(image, "--output=json")

    def test_extents_that_go_on_from_piece_to_piece(self):
        entries, place = [], 2
        while len(entries) < 2 * ENTRIES_WITH_64K:
            kind = self.random.randrange(3)
            length = self.random.choice((1, 1, 2, 5, 9000, 20000))
            if kind == 2:
                entries += range(place, place + length)
                place += length + self.random.randrange(2)
            else:
                entries += [(UNALLOCATED, ZERO)[kind]] * length
            # Many short extents, so that there is work for several threads.
            for _ in range(self.random.randrange(3000)):
                entries += (place, ZERO)
                place += 1
        base = self.path("base.qed")
        write_image(base, 65536, 4, entries[:2 * ENTRIES_WITH_64K])
        self.expect_as_qemu(base, "--output=json")
        self.create("top.qed", "5G", "-b", "base.qed", "-F", "qed")
        run("qemu-io", "-f", "qed", "-c", "write 500M 30M", self.path("top.qed"))
        self.expect_as_qemu(self.path("top.qed"), "--output=json")

    def test_a_bad_entry_ends_the_map_where_it_lies(self):
        image = self.alternating("bad.qed", 65536, 4, 2 * ENTRIES_WITH_64K)
        sound = run(QED, "map", "--output=json", image).out
        bad = 40000
        with open(image, "r+b") as file:
            file.seek(self.table + 8 * bad)
            file.write((12345).to_bytes(8, "little"))
        done = run(QED, "map", "--output=json", image, status=1)
        self.assertIn(str(image), done.err)
        self.assertTrue(sound.startswith(done.out))
        last = json.loads(done.out.splitlines()[-1].rstrip(","))
        self.assertEqual(last["start"] + last["length"], bad * 65536)

    def test_output_without_a_reader(self):
        image = self.alternating("a.qed", 65536, 4, ENTRIES_WITH_64K)
        command = [QED, "map", "--output=json", image]
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("writing to standard output", done.stderr)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.read(100)
            process.stdout.close()
            self.assertNotEqual(process.wait(TIMEOUT), 0)

    def test_nothing_in_a_large_image(self):
        image = self.create("empty.qed", "60T")
        self.expect_as_qemu(image, "--output=json")


if __name__ == "__main__":
    qedtest.main()
