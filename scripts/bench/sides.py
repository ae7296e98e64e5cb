# SPDX-License-Identifier: Apache-2.0
"""The command line of each program for the same work."""

import copy
import json
import re
import shlex
import subprocess
import time

import process

# Visits all 4 KiB blocks of 1 GiB once, far from each other, before it repeats one.
STRIDE = 409612288
LIBQED, QEMU_QED, QEMU_QCOW2, QEMU_RAW, FIO_RAW = (
    "libqed", "QEMU qed", "QEMU qcow2", "QEMU raw", "fio raw")
BASELINE = QEMU_QED
KINDS = {LIBQED: "qed", QEMU_QED: "qed", QEMU_QCOW2: "qcow2", QEMU_RAW: "raw", FIO_RAW: "raw"}


class Requests:
    """A stream of equal requests to a disk of 1 GiB."""

    def __init__(self, count, depth, write=False, block=4096, step=STRIDE, cache="writeback",
                 aio="io_uring", extra="", mapped=False):
        self.count, self.depth, self.write, self.block = count, depth, write, block
        self.step, self.cache, self.aio, self.extra = step, cache, aio, extra
        if mapped:  # only libqed has mappings, and only its blocking calls use them
            self.extra += " --mapped"
        self.mapped = mapped

    def first(self, count):
        few = copy.copy(self)
        few.count = min(count, self.count)
        return few

    def command(self, side, qed, disk):
        """`disk` has no extension; the format's name is added."""
        name = f"{disk}.{KINDS[side]}"
        if side == FIO_RAW:
            return self._fio(name)
        program = f"{qed} bench --json" if side == LIBQED else "qemu-img bench"
        aio = f"-i {self.aio}"
        if side == LIBQED and (self.depth == 1 or self.aio != "io_uring" or self.mapped):
            aio = "-i threads"
        extra = self.extra if side == LIBQED else ""
        write = "-w --pattern=90" if self.write else ""
        return " ".join(f"{program} -f {KINDS[side]} -t {self.cache} {aio} {write} {extra} "
                        f"-c {self.count} -d {self.depth} -s {self.block} -S {self.step} "
                        f"{name}".split())

    def _fio(self, name):
        sequential = self.step == self.block
        engine = "psync" if self.depth == 1 else "io_uring"
        tuned = " --registerfiles=1 --fixedbufs=1" if engine == "io_uring" else ""
        return (f"fio --name=raw --filename={name} --size=1g --bs={self.block} "
                f"--rw={'' if sequential else 'rand'}{'write' if self.write else 'read'} "
                f"--number_ios={self.count} --iodepth={self.depth} --ioengine={engine}{tuned} "
                f"--direct={int(self.cache == 'none')} --invalidate=0 --thread=1 --randrepeat=1 "
                f"--gtod_reduce=1 --allow_file_create=0 --output-format=json")

    def speed(self, side, text):
        """Requests per second, as the program itself reports them."""
        if side == LIBQED:
            return json.loads(text)["iops"]
        if side == FIO_RAW:
            return self._fio_job(text)["write" if self.write else "read"]["iops"]
        return self.count / float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])

    def cpu(self, side, text, cost):
        """Seconds; for fio without its start, which takes longer than most runs."""
        if side != FIO_RAW:
            return cost.cpu
        job = self._fio_job(text)
        return (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000

    @staticmethod
    def _fio_job(text):
        return json.loads(text[text.index("{"):])["jobs"][0]


SERVERS = {
    "libqed": "{qed} serve --socket {socket} {disk}.qed",
    "qemu-nbd": "qemu-nbd -f qed -t -e 8 --cache=writeback --aio=io_uring -k {socket} {disk}.qed",
    "qemu-storage-daemon":
        "qemu-storage-daemon --blockdev driver=file,node-name=file,filename={disk}.qed,"
        "aio=io_uring --blockdev driver=qed,node-name=disk,file=file "
        "--nbd-server addr.type=unix,addr.path={socket},max-connections=8 "
        "--export type=nbd,id=e,node-name=disk,name=,writable=on",
    "nbdkit file": "nbdkit -f -U {socket} file {disk}.raw",
    "nbdkit null": "nbdkit -f -U {socket} null 1G",
}


class Server:
    """An NBD server on a Unix socket for the length of a block; then `cpu` is its CPU time.
    """

    def __init__(self, name, qed, disk, folder, options=""):
        self.socket = folder / "nbd.sock"
        self.socket.unlink(missing_ok=True)
        self.command = SERVERS[name].format(qed=qed, socket=self.socket, disk=disk)
        self.cpu = 0.0
        words = shlex.split(f"{self.command} {options}")
        self.process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
        while subprocess.run(["nbdinfo", "--size", self.uri], capture_output=True,
                             check=False).returncode != 0:
            if self.process.poll() is not None:
                process.fail(f"{self.command} ended before it served a client")
            time.sleep(0.02)

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.socket}"

    def __enter__(self):
        self.cpu = -self._cpu_now()
        return self

    def __exit__(self, *_):
        self.cpu += self._cpu_now()
        self.process.terminate()
        self.process.wait(process.LIMIT)

    def _cpu_now(self):
        """CPU time of the server and its children, in seconds."""
        pids = [self.process.pid]
        with open(f"/proc/{pids[0]}/task/{pids[0]}/children", encoding="ascii") as file:
            pids += map(int, file.read().split())
        ticks = 0
        for pid in pids:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / 100
