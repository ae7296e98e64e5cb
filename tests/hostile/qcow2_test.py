#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged qcow2 images: info, map and convert end with a result or an error, in bounded memory.

Images of qemu-img get wrong bytes in their headers, tables and data. QED_QCOW2_IMAGES sets how
many; the seed is fixed, so that the change causes failures, not luck.
"""

import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import sandbox_probe
from qedtest import QED, TIMEOUT, run

DISK = "4M"
IMAGES = int(os.environ.get("QED_QCOW2_IMAGES", "150"))
SEED = 2026
MEMORY_LIMIT = 1 << 30  # of address space
COMMANDS = (["info", "--output=json"], ["map", "--output=json"],
            ["convert", "-q", "-f", "qcow2", "-O", "raw"])


def limit_memory():
    if not sandbox_probe.is_sanitized():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


class Qcow2HostileTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(
            tempfile.mkdtemp(prefix="qed-hostile-qcow2-", dir=os.environ["QED_BUILD_DIR"]))
        self.addCleanup(shutil.rmtree, self.folder)
        self.random = random.Random(SEED)

    def sources(self):
        """One image of each kind."""
        raw = self.folder / "source.raw"
        raw.write_bytes(self.random.randbytes(200000) + bytes(100000))
        run("truncate", "-s", DISK, raw)
        kinds = {"deflate": ("-c",), "zstd": ("-c", "-o", "compression_type=zstd"),
                 "old": ("-o", "compat=0.10,cluster_size=512"), "plain": ()}
        for name, words in kinds.items():
            image = self.folder / f"{name}.qcow2"
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *words, raw, image)
            yield image.read_bytes()
        image = self.folder / "subclusters.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", "-o",
            "extended_l2=on", image, DISK)
        run("qemu-io", "-f", "qcow2", "-c", "write -P 3 10k 200k", "-c", "write -z 1M 64k", image)
        yield image.read_bytes()

    def damage(self, image):
        image = bytearray(image)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            end = self.random.choice((160, 160, len(image), min(len(image), 300000)))
            at = self.random.randrange(0, end)
            length = self.random.choice((1, 1, 4, 8))
            small = self.random.randrange(0, 1 << 20).to_bytes(8, "big")[-length:]
            image[at:at + length] = self.random.choice(
                (self.random.randbytes(length), b"\xff" * length, bytes(length), small))
        return image

    def test_damaged_images_end_with_a_result_or_an_error(self):
        sources = list(self.sources())
        image, target = self.folder / "image.qcow2", self.folder / "target.raw"
        refused = 0
        for number in range(IMAGES):
            image.write_bytes(self.damage(self.random.choice(sources)))
            for command in COMMANDS:
                words = [QED, *command, image] + ([target] if command[0] == "convert" else [])
                done = subprocess.run(words, capture_output=True, timeout=TIMEOUT, check=False,
                                      preexec_fn=limit_memory)
                refused += done.returncode != 0
                if done.returncode not in (0, 1) or b"internal error" in done.stderr:
                    kept = pathlib.Path(os.environ["QED_BUILD_DIR"]) / f"hostile-{number}.qcow2"
                    shutil.copy(image, kept)
                    self.fail(f"{words}: status {done.returncode}, {done.stderr}; kept {kept}")
                if done.returncode == 1:
                    self.assertTrue(done.stderr.strip(), words)
        print(f"{IMAGES} images, {refused} commands refused")
        self.assertGreater(refused, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
