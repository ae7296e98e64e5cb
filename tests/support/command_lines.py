# SPDX-License-Identifier: Apache-2.0
"""Each command of qed, in the ways that differ in what they print, and disks to run them on."""

import pathlib

from qedtest import QED, run

# Which words, in a folder with base.qed <- mid.qed <- top.qed and disk.raw. What prints, what shows
# progress and what fails are all here: each writes to another descriptor at another moment.
COMMANDS = {
    "create": ["create -f qed new.qed 1M", "create -f raw -o preallocation=full new.raw 1M",
               "create -f qed -b base.qed -F qed new.qed", "create -f qed -b none.qed new.qed",
               "create -f qed base.qed"],
    "info": ["info --backing-chain top.qed", "info none.qed"],
    "map": ["map top.qed", "map --html page.html top.qed", "map none.qed"],
    "check": ["check -p -r all base.qed", "check -p top.qed", "check disk.raw"],
    "convert": ["convert -p -O qed disk.raw new.qed", "convert -p -n -O raw top.qed disk.raw",
                "convert -O qed top.qed base.qed/new.qed"],
    "compare": ["compare -p top.qed mid.qed", "compare top.qed none.qed"],
    "resize": ["resize top.qed 8M", "resize top.qed 1M", "resize -f raw disk.raw +1M"],
    "clone": ["clone base.qed one.qed two.qed", "clone base.qed mid.qed"],
    "snapshot": ["snapshot top.qed frozen.qed", "snapshot --revert top.qed",
                 "snapshot top.qed mid.qed"],
    "commit": ["commit -p top.qed", "commit -p -b base.qed top.qed", "commit -b none.qed top.qed"],
    "rebase": ["rebase -p -b base.qed -F qed top.qed", "rebase -b none.qed -F qed top.qed",
               "rebase -p -b top.qed -F qed top.qed"],
    "measure": ["measure -O qed top.qed", "measure -O qed none.qed"],
    "dd": ["dd -O raw if=top.qed of=new.raw bs=64k", "dd -O raw if=none.qed of=new.raw"],
    "compact": ["compact -p base.qed", "compact none.qed"],
    "dump": ["dump --tables top.qed", "dump none.qed"],
    "bench": ["bench -w -q -c 20 -d 1 -s 64k -i threads --pattern 7 top.qed",
              "bench -w -c 20 none.qed"],
    "serve": ["serve --port 1 top.qed", "serve none.qed"],
    "amend": ["amend -o size=1M top.qed"],
    "bitmap": ["bitmap --add top.qed name"],
    "help": ["--help", "--version", "nonsense top.qed", ""],
}


def make_disks(folder):
    """The folder that the command lines expect: base.qed <- mid.qed <- top.qed, and disk.raw."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    for name, base in (("base", None), ("mid", "base"), ("top", "mid")):
        words = ["-b", f"{base}.qed", "-F", "qed"] if base else []
        run(QED, "create", "-q", "-f", "qed", "-o", "cluster_size=4096", *words,
            f"{name}.qed", "2M", cwd=folder)
        at = {"base": 0, "mid": 1 << 20, "top": 3 << 19}[name]
        run(QED, "bench", "-q", "-w", "-c", "16", "-d", "1", "-s", "4k", "-o", at,
            "--pattern", "9", f"{name}.qed", cwd=folder)
    (folder / "disk.raw").write_bytes(bytes(range(256)) * (3 << 12))
    return folder
