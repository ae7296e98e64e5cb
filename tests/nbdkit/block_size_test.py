#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed as the client of an NBD server that accepts whole blocks only."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from qedtest import QED, run, wait_until  # noqa: E402

SIZE = 2 << 20


class BlockSizeTest(qedtest.TestCase):
    def serve(self, name, content):
        """nbdkit with a disk; requests that are not multiples of 4096 bytes fail."""
        disk, socket = self.path(f"{name}.raw"), self.path(f"{name}.sock")
        disk.write_bytes(content)
        server = subprocess.Popen(
            ["nbdkit", "-f", "-U", socket, "--filter=blocksize-policy", "file", disk,
             "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=32M",
             "blocksize-error-policy=error"], stderr=subprocess.PIPE)

        def stop():
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=qedtest.TIMEOUT)

        self.addCleanup(stop)
        wait_until(lambda: socket.exists() or server.poll() is not None, "no socket")
        self.assertIsNone(server.poll(), "nbdkit has the filter blocksize-policy")
        return disk, f"nbd+unix:///?socket={socket}"

    def content(self):
        """Data with holes whose borders lie inside of blocks."""
        content = bytearray(self.random.randbytes(SIZE))
        for begin, end in [(5000, 300000), (777216, 1100001)]:
            content[begin:end] = bytes(end - begin)
        return bytes(content)

    def test_reads_at_any_offset(self):
        content = self.content()
        _, uri = self.serve("from", content)
        for words, begin, length in [("bs=512 count=3 skip=1", 512, 1536),
                                     ("bs=1 count=5000 skip=4093", 4093, 5000),
                                     ("bs=4k count=2 skip=5", 20480, 8192)]:
            with self.subTest(words=words):
                part = self.path("part")
                run(QED, "dd", "-f", "raw", "-O", "raw", *words.split(), f"if={uri}",
                    f"of={part}")
                self.assertEqual(content[begin:begin + length], part.read_bytes())

    def test_converts_from_it_and_to_it(self):
        content = self.content()
        _, uri = self.serve("from", content)
        image = self.path("disk.qed")
        run(QED, "convert", "-f", "raw", "-O", "qed", uri, image)
        run(QED, "compare", "-f", "raw", "-F", "qed", uri, image)
        self.assert_sound(image)
        target, target_uri = self.serve("to", b"\xff" * SIZE)
        run(QED, "convert", "-f", "qed", "-O", "raw", "-n", image, target_uri)
        self.assertEqual(content, target.read_bytes())

    def test_writes_of_512_bytes_keep_their_surroundings(self):
        target, uri = self.serve("to", b"\xff" * SIZE)
        run(QED, "bench", "-q", "-w", "-f", "raw", "-c", "8", "-d", "4", "-s", "512", "-o", "1536",
            "-S", "1024", "--pattern", "7", uri)
        want = bytearray(b"\xff" * SIZE)
        for i in range(8):
            at = 1536 + i * 1024
            want[at:at + 512] = b"\x07" * 512
        self.assertEqual(bytes(want), target.read_bytes())

    def test_an_image_on_it_is_checked_and_written(self):
        image = self.path("made.qed")
        run(QED, "create", "-q", "-f", "qed", "-o", "cluster_size=4096,preallocation=full",
            image, "1M")
        disk, uri = self.serve("image", image.read_bytes())
        run(QED, "bench", "-q", "-w", "-f", "qed", "-c", "8", "-d", "1", "-s", "512", "-S", "1024",
            "--pattern", "9", uri)
        run(QED, "check", "-q", "-f", "qed", uri)
        read = self.path("read.raw")
        run(QED, "convert", "-f", "qed", "-O", "raw", uri, read)
        self.assertEqual(b"\x09" * 512 + bytes(512) + b"\x09" * 512, read.read_bytes()[:1536])


if __name__ == "__main__":
    qedtest.main()
