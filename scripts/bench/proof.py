# SPDX-License-Identifier: Apache-2.0
"""Proves that libqed and QEMU do the same work: equal offsets read, equal content written."""

import hashlib
import re
import shlex

import disks
from cases import NEW_CHAIN, NEW_OVERLAY
from process import fail, run
from sides import LIBQED, QEMU_QED, Requests, Server

REQUESTS = 2000


def _digest(parts):
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _places_read(bench, side):
    """Offsets of the 4 KiB reads of the image file, in order, as the kernel sees them."""
    requests = Requests(REQUESTS, 1, aio="threads")
    command = requests.command(side, bench.qed, "mapped")
    run(f"strace -f -e trace=pread64,preadv,preadv2 -o trace.txt {command}", bench.folder)
    text = (bench.folder / "trace.txt").read_text()
    # Only data is filled with sevens, so that reads of tables are not counted.
    found = re.findall(r'pread.*?"\\7\\7\\7.*, (\d+)(?:, [A-Z_0]+)?\) = 4096$', text, re.MULTILINE)
    return [int(place) for place in found]


def _same_reads(bench):
    ours, theirs = _places_read(bench, LIBQED), _places_read(bench, QEMU_QED)
    if len(set(ours)) != REQUESTS or ours != theirs:
        fail(f"the two read different places: {len(ours)} and {len(theirs)} reads, first "
             f"{ours[:3]} and {theirs[:3]}")
    return f"{REQUESTS} scattered reads: the same places of mapped.qed in the same order " \
           f"(sha256 {_digest(ours)})"


def _same_writes(bench, what, create, requests):
    for side, name in ((LIBQED, "ours"), (QEMU_QED, "theirs")):
        run(f"rm -f {name}.qed; {create} {name}.qed", bench.folder)
        run(requests.command(side, bench.qed, name), bench.folder)
    disks.same(bench.folder, "qed", "ours.qed", "qed", "theirs.qed")
    run(f"{bench.qed} check -q -f qed ours.qed", bench.folder)
    return f"{requests.count} {what}: the two images hold the same"


def _same_converts(bench):
    for program, name in ((bench.qed, "ours"), ("qemu-img", "theirs")):
        run(f"rm -f {name}.*; {program} convert -t unsafe -f raw -O qed half.raw {name}.qed && "
            f"{program} convert -t unsafe -f qed -O raw half.qed {name}.raw", bench.folder)
        disks.same(bench.folder, "raw", "half.raw", "qed", f"{name}.qed")
        run(f"cmp half.raw {name}.raw", bench.folder)
    return "convert both ways: every result holds what its source holds"


def _same_served(bench):
    sums = {}
    for name in ("libqed", "qemu-nbd"):
        with Server(name, bench.qed, "half", bench.folder) as server:
            text = run(f"nbdcopy {shlex.quote(server.uri)} - | sha256sum", bench.folder)
        sums[name] = text.split()[0]
    with open(bench.folder / "half.raw", "rb") as file:
        sums["half.raw"] = hashlib.file_digest(file, "sha256").hexdigest()
    if len(set(sums.values())) != 1:
        fail(f"the servers give different content: {sums}")
    return f"nbdcopy out of both servers: sha256 {sums['libqed'][:16]}, as that of the disk"


def _same_verdicts(bench):
    for files in ("half.qed half.raw", "changed/one.qed changed/two.qed",
                  "changed/base.qed changed/newer.qed", "changed/overlay.qed half.raw"):
        kind = files.rsplit(".", 1)[1]
        said = {run(f"{program} compare -f qed -F {kind} {files}", bench.folder, (0, 1))
                for program in (bench.qed, "qemu-img")}
        if len(said) != 1:
            fail(f"compare {files}: {said}")
    return "compare of equal and of different disks: the same words, the same first offset"


def _same_chains(bench):
    """Compares the base after a commit, and the overlay after a rebase, with the content that the
    overlay's guest saw before."""
    for program in (bench.qed, "qemu-img"):
        run(f"{NEW_CHAIN}; {program} commit -d -f qed chain/overlay.qed", bench.folder)
        run(f"{NEW_OVERLAY}; {program} rebase -f qed -F qed -b newer.qed changed/rebased.qed",
            bench.folder)
        for result in ("chain/base.qed", "changed/rebased.qed"):
            disks.same(bench.folder, "raw", "changed/want.raw", "qed", result)
            run(f"{bench.qed} check -q -f qed {result}", bench.folder)
        if "backing file: newer.qed" not in run("qemu-img info changed/rebased.qed", bench.folder):
            fail(f"{program} rebase left the overlay over its old backing file")
    return "commit into the base and rebase: every result holds what the overlay's guest saw before"


def prove(bench):
    """Sentences that state what is equal. A difference ends the run."""
    sentences = ["mapped and half disks: qemu-img compare finds all formats identical",
                 _same_reads(bench)]
    for depth in (1, 32):
        sentences.append(_same_writes(
            bench, f"scattered first writes over a base, depth {depth}",
            "qemu-img create -q -f qed -b base.raw -F raw", Requests(1024, depth, write=True)))
    run("qemu-img create -q -f qed sized.qed 1G", bench.folder)
    sentences.append(_same_writes(
        bench, "scattered first writes without base, depth 32", "cp sized.qed",
        Requests(4096, 32, write=True)))
    sentences.append(_same_converts(bench))
    disks.make_changed(bench.folder)
    sentences.append(_same_verdicts(bench))
    sentences.append(_same_chains(bench))
    sentences.append(_same_served(bench))
    run("rm -rf ours.* theirs.* sized.qed trace.txt chain", bench.folder)
    return sentences
