#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""qcow2 images of qemu-img, read by qed: content, map and info, compared with a byte model.

Without arguments a part of the matrix; QED_QCOW2_ALL=1 runs all of it.
"""

import itertools
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from qedtest import QED, Model, first_difference, run, run_json

DISK = 6 << 20
SEED = 20261130


def cluster_sizes(everything):
    return ("512", "4k", "64k", "2M") if everything else ("512", "64k", "2M")


def geometries(everything):
    """Options of -o."""
    for compat, size in itertools.product(("0.10", "1.1"), cluster_sizes(everything)):
        yield {"compat": compat, "cluster_size": size}
    for size, bits in itertools.product(cluster_sizes(everything), ("1", "8", "64")):
        yield {"compat": "1.1", "cluster_size": size, "refcount_bits": bits}
    for size in ("16k", "64k", "2M"):
        yield {"compat": "1.1", "cluster_size": size, "extended_l2": "on"}
    for size in ("4k", "64k", "2M"):
        yield {"compat": "1.1", "cluster_size": size, "compression_type": "zstd"}
    yield {"compat": "1.1", "cluster_size": "64k", "lazy_refcounts": "on"}
    yield {"compat": "1.1", "cluster_size": "64k", "preallocation": "metadata"}
    yield {"compat": "1.1", "cluster_size": "4k", "preallocation": "full"}


BACKINGS = (None, "raw", "qcow2", "short")


class Qcow2Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(
            tempfile.mkdtemp(prefix="qed-qcow2-", dir=os.environ["QED_BUILD_DIR"]))
        cls.images = 0

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        print(f"{cls.images} images compared")

    def setUp(self):
        self.random = random.Random(SEED)

    def path(self, name):
        return self.folder / name

    def model(self, name, size=DISK):
        model = Model(self.path(name), size)
        self.addCleanup(model.close)
        return model

    def make_base(self, kind):
        """The words of qemu-img create for the base, and the base's content."""
        size = DISK // 2 if kind == "short" else DISK
        content = self.model("base.content", size)
        for at in range(0, size, 96 << 10):
            content.write(at, self.random.randbytes(20000))
        path = self.path("base.img")
        if kind == "qcow2":
            run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", content.path, path)
            return ("-b", path, "-F", "qcow2"), content
        shutil.copy(content.path, path)
        return ("-b", path, "-F", "raw"), content

    def fill(self, image, model):
        """Writes, zeroes and discards pieces of the disk by qemu-io."""
        words = []
        for _ in range(40):
            at = self.random.randrange(0, DISK - (128 << 10)) & ~511
            length = self.random.choice((512, 4096, 65536, 100 << 10)) & ~511
            pattern = self.random.randrange(1, 255)
            act = self.random.choice(("write", "write", "zero", "unmap"))
            if act == "write":
                words += ["-c", f"write -P {pattern} {at} {length}"]
                model.write(at, bytes([pattern]) * length)
            else:
                flags = "-z -u" if act == "unmap" else "-z"
                words += ["-c", f"write {flags} {at} {length}"]
                model.zero(at, length)
        run("qemu-io", "-f", "qcow2", *words, image)

    def write_compressed(self, image, model):
        """Before other writes: QEMU writes no compressed data into allocated clusters."""
        cluster = run_json("qemu-img", "info", "--output=json", image)["cluster-size"]
        words = []
        for number in self.random.sample(range(DISK // cluster), min(12, DISK // cluster)):
            pattern = self.random.randrange(1, 255)
            words += ["-c", f"write -c -P {pattern} {number * cluster} {cluster}"]
            model.write(number * cluster, bytes([pattern]) * cluster)
        run("qemu-io", "-f", "qcow2", *words, image)

    def compare(self, image, model):
        copy = self.path("copy.raw")
        run(QED, "convert", "-f", "qcow2", "-O", "raw", image, copy)
        self.assertIsNone(first_difference(copy, model.path))
        ours = run_json(QED, "map", "--output=json", "-f", "qcow2", image)
        theirs = run_json("qemu-img", "map", "--output=json", "-f", "qcow2", image)
        self.assertEqual(self.content_of(ours), self.content_of(theirs))
        type(self).images += 1

    @staticmethod
    def content_of(extents):
        """(start, length, depth, zero, data, offset) with neighbours joined that continue.

        QEMU also says that data lies in a hole of the file, and where zeroes have space.
        """
        joined = []
        for extent in extents:
            data = extent["data"]
            one = [extent["start"], extent["length"], extent["depth"],
                   extent["zero"] and not data, data, extent.get("offset") if data else None]
            if joined:
                last = joined[-1]
                offset = None if last[5] is None else last[5] + last[1]
                if last[2:5] == one[2:5] and offset == one[5]:
                    last[1] += one[1]
                    continue
            joined.append(one)
        return joined

    def test_every_geometry_reads_as_qemu_wrote_it(self):
        everything = os.environ.get("QED_QCOW2_ALL") == "1"
        for options, backing in itertools.product(geometries(everything), BACKINGS):
            if backing is not None and "preallocation" in options:
                continue
            is_other = options["cluster_size"] != "64k"
            if not everything and is_other and backing in ("qcow2", "short"):
                continue
            with self.subTest(options=options, backing=backing):
                words, content = self.make_base(backing) if backing else ((), None)
                model = self.model("model")
                if content is not None:
                    model.write(0, content.read(0, content.size))
                image = self.path("image.qcow2")
                run("qemu-img", "create", "-q", "-f", "qcow2", *words, "-o",
                    ",".join(f"{k}={v}" for k, v in options.items()), image, DISK)
                if "preallocation" not in options:
                    self.write_compressed(image, model)
                self.fill(image, model)
                self.compare(image, model)

    def test_compressed_image_reads_in_any_pieces(self):
        model = self.model("model")
        for at in range(0, DISK, 64 << 10):
            model.write(at, self.random.randbytes(1000) * 30)
        for kind in ("zlib", "zstd"):
            image = self.path(f"{kind}.qcow2")
            run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o",
                f"compression_type={kind}", model.path, image)
            self.compare(image, model)
            for _ in range(20):
                length = self.random.choice((512, 4096, 70000 & ~511))
                skip = self.random.randrange(0, (DISK - length) // 512)
                part = self.path("part")
                part.unlink(missing_ok=True)
                run(QED, "dd", "-f", "qcow2", "-O", "raw", "bs=512", f"skip={skip}",
                    f"count={length // 512}", f"if={image}", f"of={part}")
                self.assertEqual(part.read_bytes(), model.read(skip * 512, length))

    def test_clone_over_a_compressed_image_is_read_by_qemu(self):
        model = self.model("model")
        for at in range(0, DISK, 64 << 10):
            model.write(at, self.random.randbytes(500) * 100)
        base, clone = self.path("cloud.qcow2"), self.path("clone.qed")
        run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", model.path, base)
        run(QED, "clone", "-f", "qcow2", base, clone)
        run("qemu-io", "-f", "qed", "-c", "write -P 7 100k 300k", clone)
        model.write(100 << 10, bytes([7]) * (300 << 10))
        copy = self.path("copy.raw")
        run(QED, "convert", "-f", "qed", "-O", "raw", clone, copy)
        self.assertIsNone(first_difference(copy, model.path))
        run("qemu-img", "compare", "-f", "qed", "-F", "raw", clone, copy)
        run(QED, "check", clone)
        chain = run_json(QED, "info", "--backing-chain", "--output=json", clone)
        self.assertEqual([layer["format"] for layer in chain], ["qed", "qcow2"])

    def test_info_says_what_qemu_img_says(self):
        for options in ("compat=0.10", "compat=1.1,lazy_refcounts=on,refcount_bits=8",
                        "compression_type=zstd,extended_l2=on,cluster_size=128k"):
            image = self.path("info.qcow2")
            run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, DISK)
            ours = run_json(QED, "info", "--output=json", image)
            theirs = run_json("qemu-img", "info", "--output=json", image)
            for key in ("virtual-size", "format", "cluster-size", "actual-size", "dirty-flag",
                        "format-specific"):
                self.assertEqual(ours[key], theirs[key], key)

    def test_commit_into_qcow2_is_refused_with_what_to_do(self):
        base, clone = self.path("b.qcow2"), self.path("c.qed")
        run("qemu-img", "create", "-q", "-f", "qcow2", base, DISK)
        run(QED, "clone", "-f", "qcow2", base, clone)
        done = run(QED, "commit", clone, status=1)
        self.assertIn("which is only read", done.err)
        run(QED, "create", "-f", "qed", "-b", base, "-F", "qcow2", self.path("d.qed"))
        done = run(QED, "create", "-f", "qed", "-b", base, "-F", "qed", self.path("e.qed"),
                   status=1)
        self.assertIn("qcow2", done.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
