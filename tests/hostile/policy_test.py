# SPDX-License-Identifier: Apache-2.0
"""Every command opens the file that a header names only if --backing allows it, and only if it is a
regular file or a block device."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import qedtest
from image_file import BACKING_FILE, BACKING_IS_RAW, SPAN, ImageFile, sound
from qedtest import QED, run

IMAGE = "inner/image.qed"
OUTSIDE = r"lies outside of the allowed directory"
# {rule} is replaced by the options. Next to the image are inner/base, base and spare.raw.
COMMANDS = {
    "info": ["info", "--backing-chain", "{rule}", IMAGE],
    "map": ["map", "{rule}", IMAGE],
    "convert": ["convert", "{rule}", "-O", "raw", IMAGE, "out.raw"],
    "convert into": ["convert", "{rule}", "-n", "-O", "qed", "spare.raw", IMAGE],
    "compare": ["compare", "{rule}", IMAGE, IMAGE],
    "measure": ["measure", "{rule}", "-O", "qed", IMAGE],
    "dd": ["dd", "{rule}", "-O", "raw", "bs=64K", "count=1", f"if={IMAGE}", "of=out.raw"],
    "bench": ["bench", "{rule}", "-c", "1", "-f", "qed", IMAGE],
    "rebase": ["rebase", "{rule}", "-b", "", IMAGE],
    "commit": ["commit", "{rule}", IMAGE],
    "resize": ["resize", "{rule}", IMAGE, "+64K"],
}


class PolicyTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "inner").mkdir()
        for name in ("base", "inner/base", "spare.raw"):
            (self.folder / name).write_bytes(b"base" * 16384)

    def image(self, name, features=BACKING_FILE | BACKING_IS_RAW):
        image = ImageFile().header(image_size=65536)
        (image.name(name, features) if name else image).write(self.folder / IMAGE)

    def qed(self, words, rule, status, env=None):
        rules = [f"--backing={rule}"] if rule else []
        command = [QED] + [w for word in words for w in (rules if word == "{rule}" else [word])]
        (self.folder / "out.raw").unlink(missing_ok=True)
        return run(*command, cwd=self.folder, status=status,
                   env={k: v for k, v in os.environ.items() if k != "QED_BACKING"} | (env or {}))

    def expect_refused(self, name, rule, says, features=BACKING_FILE | BACKING_IS_RAW, env=None):
        self.image(name, features)
        for label, words in COMMANDS.items():
            with self.subTest(command=label, name=name, rule=rule):
                done = self.qed(words, rule, None, env)
                self.assertIn(done.status, (1, 2), str(done))
                self.assertRegex(done.err, says)
                self.assertFalse((self.folder / "out.raw").exists(), "a target was left behind")

    def expect_opened(self, name, rule, env=None):
        for label, words in COMMANDS.items():
            with self.subTest(command=label, name=name, rule=rule):
                self.image(name)
                self.qed(words, rule, 0, env)

    def test_by_default_only_what_lies_below_the_images_own_folder_is_opened(self):
        self.expect_refused("../base", None, OUTSIDE)
        self.expect_refused("../base", "same-dir", OUTSIDE)
        self.expect_refused(str(self.folder / "base"), None, OUTSIDE)
        self.expect_opened("base", None)
        self.expect_opened("base", "same-dir")
        self.expect_opened(str(self.folder / "inner/base"), None)

    def test_none_opens_nothing_at_all(self):
        self.expect_refused("base", "none", "opening one was not allowed")

    def test_dir_allows_what_lies_below_that_folder(self):
        self.expect_opened("../base", f"dir:{self.folder}")
        self.expect_opened(str(self.folder / "base"), f"dir:{self.folder}")
        (self.folder / "bases").mkdir()
        (self.folder / "bases/base").write_bytes(b"base" * 16384)
        self.expect_opened("../bases/base", f"dir:{self.folder}/bases")
        self.expect_opened("../bases/base", "dir:bases")
        self.expect_refused("../bases/base", "dir:inner", OUTSIDE)
        (self.folder / "other").mkdir()
        self.expect_refused("../base", f"dir:{self.folder}/other", OUTSIDE)
        self.expect_refused("../base", f"dir:{self.folder}/missing",
                            "cannot open the directory .*No such file")

    def test_any_allows_every_file_or_block_device_and_nothing_else(self):
        self.expect_opened("../base", "any")
        os.mkfifo(self.folder / "fifo")
        self.expect_refused("../fifo", "any", "found a FIFO")
        self.expect_refused("/dev/zero", "any", "found a character device")
        self.expect_refused("/proc/self/fd/0", "any", "Too many levels of symbolic links")
        self.expect_refused("/proc/self/exe", "any", "Too many levels of symbolic links")
        self.expect_refused("/dev", "any", "found a directory")
        self.expect_refused('json:{"driver":"file","filename":"base"}', "any", "looks like a proto")
        self.expect_refused("nbd+unix:///?socket=../fifo", "any", "looks like a protocol")
        self.expect_refused("nbd:base", "any", "looks like a protocol")

    def test_the_environment_states_the_rule_where_the_command_line_does_not(self):
        self.expect_opened("../base", None, env={"QED_BACKING": "any"})
        self.expect_refused("base", None, "opening one was not allowed",
                            env={"QED_BACKING": "none"})
        self.expect_refused("base", None, "QED_BACKING: 'all' is not a rule",
                            env={"QED_BACKING": "all"})
        self.expect_opened("base", "same-dir", env={"QED_BACKING": "none"})

    def test_the_format_of_a_base_is_never_guessed(self):
        self.expect_refused("base", None, "does not say that it is raw; state its format",
                            features=BACKING_FILE)
        sound(image_size=SPAN).write(self.folder / "inner/base")
        self.image("base")  # raw, although it starts like an image
        raw = self.qed(COMMANDS["convert"], None, 0)
        self.assertEqual(0, raw.status)
        self.assertTrue((self.folder / "out.raw").read_bytes().startswith(b"QED\0"))

    def test_serve_follows_the_same_rules(self):
        self.image("../base")
        for rule, says in ((None, OUTSIDE), ("none", "opening one was not allowed"),
                           ("dir:inner", OUTSIDE)):
            with self.subTest(rule=rule):
                done = self.qed(["serve", "-r", "{rule}", IMAGE], rule, 1)
                self.assertRegex(done.err, says)
        for rule in ("any", f"dir:{self.folder}", "dir:."):
            with self.subTest(rule=rule), \
                    qedtest.Server("-r", f"--backing={rule}", IMAGE, cwd=self.folder) as server:
                self.assertEqual("65536", run("nbdinfo", "--size", server.uri).out.strip())

    def test_commands_that_do_not_follow_the_chain_leave_it_alone(self):
        self.image("/etc/passwd")
        for words in (["check", IMAGE], ["info", IMAGE], ["dump", IMAGE],
                      ["compact", IMAGE]):
            with self.subTest(words[0]):
                log = self.folder / "log"
                run("strace", "-f", "-qq", "-o", log, "-e", "trace=open,openat,openat2", QED,
                    *words, cwd=self.folder, env=qedtest.TRACED)
                self.assertNotIn("/etc/passwd", log.read_text())

    def test_what_the_user_names_is_opened_wherever_it_lies(self):
        self.image(None)
        run(QED, "rebase", "-u", "-F", "raw", "-b", "../base", IMAGE, cwd=self.folder)
        run(QED, "create", "-q", "-f", "qed", "-F", "raw", "-b", "../base", "inner/new.qed",
            cwd=self.folder)
        run(QED, "info", "../inner/../inner/image.qed", cwd=self.folder / "inner")


if __name__ == "__main__":
    qedtest.main()
