# SPDX-License-Identifier: Apache-2.0
"""Random requests to a disk, to be run by libqed, by qemu-io, and on the byte model."""

import dataclasses

from qedtest import SCRIPT, patterned, run

LARGEST = 5 << 20  # bytes of one request


@dataclasses.dataclass
class Request:
    verb: str  # write, zero, discard or flush
    offset: int = 0
    length: int = 0
    pattern: str = ""  # file with the bytes to write, repeated


class Workload:
    """Requests around the spots of typical faults: boundaries of clusters, tables and the disk."""

    def __init__(self, test, size, cluster, table_span):
        self.random, self.folder = test.random, test.folder
        self.size, self.cluster = size, cluster
        last = (size - 1) // cluster
        per_table = table_span // cluster
        spots = {0, 1, last, max(0, last - 1), last // 2}
        spots |= {c for c in (per_table - 1, per_table, 2 * per_table - 1) if c <= last}
        spots |= {self.random.randrange(last + 1) for _ in range(10)}
        self.spots = sorted(spots)
        self.patterns = {}
        for i in range(4):
            path = self.folder / f"pattern{i}"
            if not path.exists():
                path.write_bytes(self.random.randbytes(4093))
            self.patterns[str(path)] = path.read_bytes()

    def _length(self):
        return self.random.choice([
            self.random.randrange(1, 600),
            self.random.randrange(1, 20) * 512,
            self.cluster,
            self.random.randrange(1, min(3 * self.cluster, LARGEST)),
        ])

    def write(self):
        spot = self.random.choice(self.spots) * self.cluster
        inside = self.random.choice([0, 0, self.random.randrange(self.cluster)])
        offset = min(spot + inside, self.size - 1)
        length = min(self._length(), LARGEST, self.size - offset)
        return Request("write", offset, length, self.random.choice(sorted(self.patterns)))

    def zero(self):
        request = self.write()
        return Request("zero", request.offset, request.length)

    def discard(self):
        """Ends before the disk's last cluster, which may be a partial one."""
        first = self.random.choice(self.spots[:-2]) * self.cluster
        offset = first + self.random.choice([0, 0, 512])
        end = min(offset + self.random.randrange(1, 4) * self.cluster,
                  (self.size - 1) // self.cluster * self.cluster)
        return Request("discard", offset, max(0, end - offset))

    def batch(self, makers, count):
        """Requests to disjoint ranges, so that they may run concurrently."""
        taken, batch = [], []
        for _ in range(count):
            request = self.random.choice(makers)()
            end = request.offset + request.length
            if all(end <= begin or request.offset >= other for begin, other in taken):
                taken.append((request.offset, end))
                batch.append(request)
        return batch

    def apply(self, batch, model):
        for request in batch:
            offset, length = request.offset, request.length
            if request.verb == "write":
                model.write(offset, patterned(self.patterns[request.pattern], length))
            elif request.verb == "zero":
                model.zero(offset, length)
            elif request.verb == "discard":
                # Whole clusters only: partial ones keep their content.
                begin = -(-offset // self.cluster) * self.cluster
                end = (offset + length) // self.cluster * self.cluster
                model.zero(begin, max(0, end - begin))


def qed_lines(batches):
    for batch in batches:
        for request in batch:
            yield " ".join(str(word) for word in (request.verb, request.offset, request.length,
                                                  request.pattern))
        yield "barrier"  # the flush covers the requests of all threads
        yield "flush"
        yield "barrier"


def run_with_libqed(image, batches, *options, more=()):
    """Runs batches on several threads, followed by the qed_script lines `more`."""
    text = "\n".join([*qed_lines(batches), *more, ""])
    return run(SCRIPT, "--threads", 4, *options, image, text=text)


def dump_with_libqed(image, target, *options):
    run(SCRIPT, "--read-only", *options, image, text=f"dump {target}\n")
    return target


def qemu_io_lines(batches):
    for batch in batches:
        for request in batch:
            if request.verb == "write":
                yield f"write -q -s {request.pattern} {request.offset} {request.length}"
            elif request.verb == "zero":
                yield f"write -q -z {request.offset} {request.length}"
        yield "flush"


def run_with_qemu_io(image, batches, more=()):
    done = run("qemu-io", "-f", "qed", image,
               text="\n".join([*qemu_io_lines(batches), *more, ""]))
    for line in (done.out + done.err).splitlines():
        if "failed" in line or "rror" in line:
            raise AssertionError(f"qemu-io: {line}")
