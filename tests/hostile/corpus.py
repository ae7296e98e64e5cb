#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Malformed images and unusual environments, by name. verdicts.txt has the expected results.

Usage: corpus.py FOLDER   makes FOLDER/<case>/image.qed and its other files, for all cases
"""

import os
import pathlib
import socket
import struct
import sys

from image_file import (BACKING_FILE, BACKING_IS_RAW, CLUSTER, ENTRIES, NEED_CHECK, SPAN,
                        ImageFile, sound)

L1, TABLE, OTHER, DATA = CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 4 * CLUSTER  # in sound()
END = 9 * CLUSTER
ALL = 2**64 - 1
CASES = {}  # name -> function(folder) that makes folder/image.qed
GIB, TIB = 2**30, 2**40


def case(name, make):
    assert name not in CASES, name
    if isinstance(make, ImageFile):
        CASES[name] = lambda folder: make.write(folder / "image.qed")
    else:
        CASES[name] = make


def fields(field, **values):
    for label, value in values.items():
        name = f"{field}-{label}".replace("_", "-")
        case(name, sound(**{field: value}))


def in_l1(name, *entries):
    """Sets L1 entries 2 and following, which are below the image's end, to these values."""
    image = sound()
    for index, value in enumerate(entries):
        image.l1(2 + index, value)
    case(f"l1-entry-{name}", image)


def in_l2(name, *entries, index=100, table=TABLE):
    image = sound()
    for i, value in enumerate(entries):
        image.entry(table, index + i, value)
    case(f"l2-entry-{name}", image)


def header_cases():
    fields("magic", empty=b"\0\0\0\0", longer=b"QEDX", reversed=b"\0DEQ", lower=b"qed\0")
    fields("cluster_size", zero=0, one=1, sector=512, below=2048, odd=4097, three=3 * CLUSTER,
           minus_one=4095, above=2**27, sign=2**31, all=2**32 - 1)
    fields("table_size", zero=0, three=3, above=32, seventeen=17, sign=2**31, all=2**32 - 1)
    fields("header_size", zero=0, over_l1=2, past_end=100, last_legal=2**20 - 1, too_large=2**20,
           all=2**32 - 1)
    fields("features", unknown_lowest=8, unknown_highest=2**63, all=ALL, raw_without_name=4,
           unknown_and_dirty=8 | NEED_CHECK)
    fields("compat", all=ALL)
    fields("autoclear", all=ALL, one=1)
    fields("l1", zero=0, one=1, in_header=64, unaligned=CLUSTER + 512, before=CLUSTER - 1,
           at_end=END, past_end=END + CLUSTER, sign=2**63, last_cluster=2**64 - CLUSTER, all=ALL,
           over_table=TABLE, over_data=DATA)
    fields("image_size", zero=0, one=1, below_sector=511, sector=512, odd=513,
           odd_clusters=3 * CLUSTER + 512, largest=ENTRIES * SPAN, too_large=ENTRIES * SPAN + 512,
           off_t=2**63 - 512, sign=2**63, last_sector=2**64 - 512, all=ALL)
    l1_cut = sound(l1=END - CLUSTER).ends(END - 1)
    case("l1-half-past-end", l1_cut)
    case("header-size-two", two_header_clusters())


def two_header_clusters():
    image = ImageFile().header(header_size=2, l1=2 * CLUSTER)
    image.add()
    table = image.add()
    image.l1(0, table).data(table, 0)
    return image


def largest_geometries():
    for name, cluster, table in (("cluster", 2**26, 1), ("table", CLUSTER, 16),
                                 ("both", 2**26, 16)):
        image = ImageFile(cluster, table)
        first = image.add(table)
        image.l1(0, first)
        case(f"largest-{name}", image.entry(first, 3, 1).header(image_size=cluster * 8))


def name_field_cases():
    def fields_are(label, offset, size, features=BACKING_FILE | BACKING_IS_RAW):
        case(f"name-{label}", sound(features=features, name_offset=offset, name_size=size))

    fields_are("over-fields", 0, 8)
    fields_are("over-last-field", 63, 8)
    fields_are("past-header", CLUSTER, 8)
    fields_are("ends-past-header", CLUSTER - 7, 8)
    fields_are("empty", 64, 0)
    fields_are("too-long", 64, 1024)
    fields_are("size-all", 64, 2**32 - 1)
    fields_are("both-all", 2**32 - 1, 2**32 - 1)
    fields_are("wraps-32-bits", 2**32 - 8, 16)
    fields_are("zeroes", 64, 8)
    fields_are("without-feature", 2**32 - 1, 2**32 - 1, features=0)


BAD_NAMES = {
    "nul-inside": b"ba\0se.raw", "nul-last": b"base.raw\0", "not-utf8": b"\xff\xfe\x80base",
    "escape": b"\x1b]0;owned\x07\x1b[2J", "newline": b"x\nqed says all is well",
    "percent": "%s%n%s%n",
    "longest": "n" * 1023, "missing": "missing.raw", "json": 'json:{"driver":"file"}',
    "json-nbd": 'json:{"driver":"nbd","server":{"type":"inet","host":"localhost","port":"1"}}',
    "nbd": "nbd://localhost:1/", "nbd-unix": "nbd+unix:///?socket=nbd.sock",
    "http": "http://localhost:1/base.raw", "ssh": "ssh://localhost/base.raw", "fat": "fat:rw:.",
    "file-uri": "file:///etc/passwd", "file-prefix": "file:base.raw", "data-uri": "data:,x",
    "absolute": "/etc/passwd", "parent": "../outside.raw",
    "many-parents": "../" * 60 + "etc/passwd",
    "down-and-up": "sub/../../outside.raw", "dot": ".", "dot-dot": "..", "root": "/",
    "trailing-slash": "base.raw/", "dev-zero": "/dev/zero", "dev-stdin": "/dev/stdin",
    "dev-fd": "/dev/fd/0", "proc-mem": "/proc/self/mem", "proc-fd": "/proc/self/fd/0",
    "proc-root": "/proc/self/root/etc/passwd", "proc-cwd": "/proc/self/cwd/base.raw",
}


def with_name(text, features=BACKING_FILE | BACKING_IS_RAW, **others):
    """image.qed over `text`, next to base.raw and the files of `others`: name -> function(path)."""
    def make(folder):
        sound().name(text, features).write(folder / "image.qed")
        (folder / "base.raw").write_bytes(b"base" * 4096)
        (folder / "sub").mkdir()
        for name, build in others.items():
            build(folder / name)
    return make


def make_socket(path):
    here = os.open(".", os.O_RDONLY)  # a socket's path has at most 107 bytes
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.fchdir(here)
    os.close(here)


def link_to(target):
    return lambda path: path.symlink_to(target)


def backing_cases():
    for label, text in BAD_NAMES.items():
        case(f"base-{label}", with_name(text))
    case("base-qed-missing", with_name("missing.qed", BACKING_FILE))
    case("base-fifo", with_name("other", other=os.mkfifo))
    case("base-socket", with_name("other", other=make_socket))
    case("base-folder", with_name("sub"))
    for label, target in {"inside": "base.raw", "to-passwd": "/etc/passwd",
                          "to-device": "/dev/zero", "to-parent": "../outside.raw",
                          "to-itself": "other",
                          "to-proc": "/proc/self/exe", "dangling": "missing.raw",
                          "to-fifo": "fifo"}.items():
        extra = {"fifo": os.mkfifo} if label == "to-fifo" else {}
        case(f"base-link-{label}", with_name("other", other=link_to(target), **extra))
    case("base-through-folder-link",
         with_name("other/passwd", other=link_to("/etc")))
    case("base-format-unstated", with_name("base.raw", BACKING_FILE))
    case("base-starts-with-qed-raw", with_name("other", other=raw_that_looks_like_qed))
    case("base-starts-with-qed-unstated",
         with_name("other", BACKING_FILE, other=raw_that_looks_like_qed))
    case("base-starts-with-qcow2",
         with_name("other", BACKING_FILE, other=lambda p: p.write_bytes(b"QFI\xfb".ljust(65536))))
    case("base-empty", with_name("other", other=lambda p: p.write_bytes(b"")))
    case("base-empty-unstated",
         with_name("other", BACKING_FILE, other=lambda p: p.write_bytes(b"")))
    case("base-one-byte", with_name("other", other=lambda p: p.write_bytes(b"x")))
    case("base-dirty", with_name("other", BACKING_FILE, other=sound(features=NEED_CHECK).write))
    case("base-bad-header", with_name("other", BACKING_FILE, other=sound(table_size=3).write))
    bad = sound().entry(TABLE, 100, 5)
    case("base-bad-entry", with_name("other", BACKING_FILE, other=bad.write))
    case("base-larger", with_name("other", BACKING_FILE,
                                  other=sound(image_size=ENTRIES * SPAN).write))


def raw_that_looks_like_qed(path):
    sound().name("/etc/passwd").write(path)


def chain(length):
    def make(folder):
        names = ["image.qed"] + [f"layer{i}" for i in range(1, length)]
        for name, below in zip(names, names[1:] + [None]):
            image = ImageFile().header(image_size=SPAN)
            (image.name(below, BACKING_FILE) if below else image).write(folder / name)
    return make


def loop_cases():
    over = lambda name: ImageFile().name(name, BACKING_FILE).write

    def loop_of(length):
        def make(folder):
            names = ["image.qed"] + [f"layer{i}" for i in range(1, length)]
            for name, below in zip(names, names[1:] + names[:1]):
                over(below)(folder / name)
        return make

    def by_link(folder, link):
        over("other")(folder / "image.qed")
        link(folder / "image.qed", folder / "other")

    for length in (1, 2, 3, 20):
        case(f"loop-of-{length}", loop_of(length))
    case("loop-by-hard-link", lambda folder: by_link(folder, os.link))
    case("loop-by-symlink", lambda folder: by_link(folder, lambda to, at: at.symlink_to(to.name)))
    case("loop-by-longer-name", lambda folder: over("./././image.qed")(folder / "image.qed"))
    case("loop-as-raw", lambda folder: ImageFile().name("image.qed").write(folder / "image.qed"))
    case("chain-of-65", chain(65))
    case("chain-of-66", chain(66))
    case("chain-of-500", chain(500))


def l1_entry_cases():
    for label, value in {
            "one": 1, "two": 2, "sector": 512, "low-bit": TABLE + 1, "low-bits": TABLE + 4095,
            "unaligned": TABLE + 2048, "at-end": END, "past-end": END + CLUSTER,
            "far": 2**40, "sign": 2**63, "sign-on-table": 2**63 + OTHER,
            "last-cluster": 2**64 - CLUSTER, "all": ALL, "over-l1": L1}.items():
        in_l1(label, value)
    in_l1("duplicate", TABLE)
    in_l1("duplicates", TABLE, OTHER)
    in_l1("names-data", DATA)
    in_l1("names-zero-filled", 8 * CLUSTER)
    case("l1-entry-past-image", sound(image_size=2 * SPAN).l1(3, END))
    case("l1-entry-duplicate-past-image", sound(image_size=2 * SPAN).l1(3, TABLE))
    case("l1-entry-sound-past-image", sound(image_size=SPAN))
    header = two_header_clusters()
    case("l1-entry-over-header", header.header(image_size=4 * SPAN).l1(1, CLUSTER))
    case("l1-entries-all-ones", sound().put(L1, b"\xff" * CLUSTER))
    case("l1-entries-all-table", sound().put(L1, struct.pack("<Q", TABLE) * ENTRIES))
    case("l1-entries-random", sound().put(L1, bytes(i * 37 % 256 for i in range(CLUSTER))))
    wide = ImageFile(table_clusters=2).header(image_size=16 * SPAN)
    tables = wide.add(4)
    wide.data(tables, 0)
    case("l1-entry-tables-overlap", wide.l1(0, tables).l1(1, tables + CLUSTER))
    last = ImageFile(table_clusters=2).header(image_size=16 * SPAN)
    table = last.add(2)
    case("l1-entry-table-half-past-end", last.l1(0, table).ends(table + CLUSTER))
    lead = ImageFile(table_clusters=2).header(image_size=16 * SPAN, l1=2 * CLUSTER)
    lead.add(1)
    case("l1-entry-ends-over-l1", lead.l1(0, CLUSTER))
    case("l1-entry-starts-in-l1",
         ImageFile(table_clusters=2).header(image_size=16 * SPAN).l1(0, 2 * CLUSTER)
         .ends(8 * CLUSTER))


def l2_entry_cases():
    for label, value in {
            "two": 2, "seven": 7, "sector": 512, "below-cluster": 4095, "low-bit": DATA + 1,
            "low-bits": DATA + 4095, "unaligned": DATA + 2048, "at-end": END,
            "past-end": END + CLUSTER, "far": 2**40, "sign": 2**63, "sign-on-data": 2**63 + DATA,
            "last-cluster": 2**64 - CLUSTER, "all": ALL, "over-l1": L1, "over-own-table": TABLE,
            "over-other-table": OTHER, "duplicate": DATA}.items():
        in_l2(label, value)
    in_l2("duplicate-thrice", DATA, DATA, DATA)
    in_l2("duplicate-across-tables", DATA, table=OTHER)
    in_l2("all-tables", L1, TABLE, OTHER)
    tail = sound().entry(TABLE, 100, END).ends(END + 512)
    case("l2-entry-in-partial-tail", tail)
    past = sound(image_size=20 * CLUSTER)
    case("l2-entry-bad-past-image", past.entry(TABLE, 100, 5))
    case("l2-entry-duplicate-past-image",
         sound(image_size=20 * CLUSTER).entry(TABLE, 100, DATA))
    case("l2-entries-all-ones", sound().put(TABLE, b"\xff" * CLUSTER))
    case("l2-entries-all-zero-clusters",
         sound().put(TABLE, struct.pack("<Q", 1) * ENTRIES))
    case("l2-entries-all-one-cluster",
         sound().put(TABLE, struct.pack("<Q", DATA) * ENTRIES))
    case("l2-entries-all-l1", sound().put(TABLE, struct.pack("<Q", L1) * ENTRIES))
    case("l2-entries-random", sound().put(TABLE, bytes(i * 73 % 256 for i in range(CLUSTER))))
    case("l2-table-is-data-of-other", sound().entry(OTHER, 9, TABLE).entry(TABLE, 9, OTHER))
    header = two_header_clusters()
    case("l2-entry-over-header", header.entry(3 * CLUSTER, 9, CLUSTER))


def length_cases():
    for length in (0, 1, 3, 4, 63, 64, CLUSTER - 1, CLUSTER, CLUSTER + 1, 2 * CLUSTER - 1,
                   2 * CLUSTER, 3 * CLUSTER - 1, 3 * CLUSTER, 4 * CLUSTER - 1, 4 * CLUSTER,
                   DATA + 1, 5 * CLUSTER - 1, 5 * CLUSTER, END - 1):
        case(f"cut-at-{length}", sound().ends(length))
    for extra in (1, 511, CLUSTER - 1, CLUSTER, 10 * CLUSTER, 2**20):
        case(f"longer-by-{extra}", sound().ends(END + extra))


def dirty_cases():
    case("dirty", sound(features=NEED_CHECK))
    case("dirty-leak", sound(features=NEED_CHECK).ends(END + CLUSTER))
    case("dirty-duplicate", sound(features=NEED_CHECK).entry(TABLE, 100, DATA))
    case("dirty-past-end", sound(features=NEED_CHECK).entry(TABLE, 100, END))
    case("dirty-bad-l1", sound(features=NEED_CHECK).l1(2, END))
    case("dirty-cut", sound(features=NEED_CHECK).ends(5 * CLUSTER))
    case("dirty-autoclear", sound(features=NEED_CHECK, autoclear=ALL, compat=ALL))
    case("dirty-empty", ImageFile().header(features=NEED_CHECK))
    case("dirty-over-missing",
         with_name("missing.raw", BACKING_FILE | BACKING_IS_RAW | NEED_CHECK))


def large(**changes):
    """64 TiB in less than 1 MiB: the default geometry."""
    image = ImageFile(65536, 4).header(image_size=64 * TIB)
    image.add(4)
    return image.l1(0, 5 * 65536).header(**changes)


def huge_cases():
    bytes_of_table = 4 * 65536
    case("huge-empty", large())
    case("huge-all-l1-one-table",
         large().put(65536, struct.pack("<Q", 5 * 65536) * 32768))
    case("huge-all-l1-ones", large().put(65536, b"\xff" * bytes_of_table))
    holes = struct.pack("<32768Q", *(5 * 65536 + i * bytes_of_table for i in range(32768)))
    case("huge-all-l1-in-holes", large().put(65536, holes).ends(8 * GIB + 5 * 65536))
    case("huge-all-l1-past-end", large().put(65536, holes))
    spread = struct.pack("<32768Q", *((i + 16) * 2**25 for i in range(32768)))
    case("huge-scattered", large().put(5 * 65536, spread).ends(2 * TIB))
    case("huge-scattered-twice",
         large().put(5 * 65536, spread[:131072] * 2).ends(2 * TIB))
    case("huge-l2-all-ones", large().put(5 * 65536, b"\xff" * bytes_of_table))
    case("huge-file", sound().ends(4 * TIB))
    most = ImageFile(2**20, 16).header(image_size=2**62)
    case("huge-l1-table", most)
    holes = struct.pack(f"<{2**12}Q", *(i * 2**24 + 2**28 for i in range(2**12)))
    case("huge-tables-in-holes",
         ImageFile(2**20, 16).header(image_size=2**62).put(2**20, holes).ends(2**36 + 2**28))


def strange_files():
    def made(build):
        return lambda folder: build(folder / "image.qed")

    case("file-fifo", made(os.mkfifo))
    case("file-socket", made(make_socket))
    case("file-folder", made(pathlib.Path.mkdir))
    case("file-missing", lambda folder: None)
    case("file-link-to-device", made(link_to("/dev/zero")))
    case("file-link-to-terminal", made(link_to("/dev/tty")))
    case("file-link-to-itself", made(link_to("image.qed")))
    case("file-random", made(lambda path: path.write_bytes(
        b"QED\0" + bytes(i * i * 31 // 7 % 256 for i in range(65532)))))
    case("file-text", made(lambda path: path.write_bytes(b"QED is a format.\n" * 100)))


header_cases()
largest_geometries()
name_field_cases()
backing_cases()
loop_cases()
l1_entry_cases()
l2_entry_cases()
length_cases()
dirty_cases()
huge_cases()
strange_files()


def make(name, folder):
    """Makes the image of one case with its other files."""
    folder.mkdir(parents=True)
    CASES[name](folder)
    return folder / "image.qed"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name in CASES:
        make(name, pathlib.Path(sys.argv[1]) / name)
    print(f"{len(CASES)} cases")


if __name__ == "__main__":
    main()
