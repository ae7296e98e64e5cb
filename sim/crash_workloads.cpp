// SPDX-License-Identifier: Apache-2.0
#include "sim/crash_workloads.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "sim/failure.hpp"
#include "sim/session.hpp"

namespace qed::sim {

namespace {

struct Shape {
    std::uint32_t cluster_bytes;
    std::uint32_t table_clusters;
};
constexpr std::array kShapes{Shape{4096, 1}, Shape{4096, 2}, Shape{8192, 1}};

const char* name_of(WriteOrder order) {
    switch (order) {
        case WriteOrder::strict:
            return "strict";
        case WriteOrder::ordered:
            return "ordered";
        case WriteOrder::deferred:
            return "deferred";
        case WriteOrder::automatic:
            break;
    }
    return "automatic";
}

/// Two tables, the second one ending within a cluster.
ImageSetup make_setup(Shape shape, WriteOrder order) {
    ImageSetup setup{.cluster_bytes = shape.cluster_bytes,
                     .table_clusters = shape.table_clusters,
                     .order = order,
                     .base = {}};
    setup.image_bytes = setup.table_span() + 6 * setup.cluster_bytes + kSectorBytes;
    return setup;
}

/// A raw base with data at both ends of the first table and beyond, holes between.
void add_base(ImageSetup& setup, bool is_longer) {
    const std::uint64_t unit = setup.cluster_bytes;
    const std::uint64_t span = setup.table_span();
    const std::uint64_t end = is_longer ? setup.image_bytes + 3 * unit : span + 2 * unit + 1536;
    setup.has_base = true;
    std::array<std::byte, kSectorBytes> sector{};
    const auto fill = [&](std::uint64_t from, std::uint64_t to) {
        for (std::uint64_t at = from; at < std::min(to, end); at += kSectorBytes) {
            // Every fifth sector stays a hole, because zeroes in the base are data too.
            if (at / kSectorBytes % 5 == 3) continue;
            stamp_sector(sector, std::uint64_t{1} << 32, at / kSectorBytes);
            setup.base.write(at, sector);
        }
    };
    fill(0, 9 * unit);
    fill(span - 2 * unit, span + 2 * unit);
    fill(setup.image_bytes / unit * unit - unit, end);
    setup.base.resize(end);
}

/// Puts a QED image between the image and its raw base. It holds every third cluster, in whose
/// place the raw file has other data.
void add_chain(ImageSetup& setup) {
    ImageSetup between{.cluster_bytes = setup.cluster_bytes,
                       .image_bytes = setup.base.size(),
                       .has_base = true,
                       .base = setup.base};
    setup.below = setup.base;
    World world(1);
    Machine machine(world, between, FileContent{}, true);
    const auto check = [](const Result<void>& done) {
        if (!done) throw Failure("a base can be made", done.error().message());
    };
    check(machine.format());
    check(machine.open());
    std::vector<std::byte> data;
    std::array<std::byte, kSectorBytes> other{};
    for (std::uint64_t at = 0; at < setup.base.size(); at += 3 * setup.cluster_bytes) {
        data.resize(std::min<std::uint64_t>(setup.cluster_bytes, setup.base.size() - at));
        setup.base.read(at, data);
        check(world.run(machine.image()->write(GuestOffset{at}, data)));
        for (std::uint64_t end = at + data.size(), sector = at; sector < end;
             sector += kSectorBytes) {
            stamp_sector(other, std::uint64_t{1} << 33, sector / kSectorBytes);
            setup.below.write(sector, other);
        }
    }
    check(machine.close());
    setup.qed_base = machine.storage().current();
}

void run_all(Session& session, const std::vector<Operation>& operations) {
    for (const Operation& operation : operations)
        session.run(operation);
}

/// Creates every state of a cluster: written, partly written, zero, full of zeroes, discarded, at
/// the end of a table.
void use(Session& session, const ImageSetup& setup) {
    const std::uint64_t unit = setup.cluster_bytes;
    run_all(session, {
                         {Step::write, 0, unit},
                         {Step::write, unit + 512, 512},
                         {Step::write, 5 * unit, 2 * unit},
                         {Step::store_zeroes, 8 * unit, unit},
                         {Step::write, setup.table_span() - unit, unit},
                         {Step::flush, 0, 0},
                         {Step::write_zeroes, 4 * unit, unit},
                         {Step::discard, 6 * unit, unit},
                         {Step::quiesce, 0, 0},
                     });
}

}  // namespace

std::vector<NamedSetup> crash_setups() {
    std::vector<NamedSetup> setups;
    for (const Shape shape : kShapes) {
        for (const WriteOrder order :
             {WriteOrder::strict, WriteOrder::ordered, WriteOrder::deferred}) {
            for (const std::string_view base : {"none", "short", "long", "chain"}) {
                // With a backing file, ordered means strict.
                const bool has_base = base != "none";
                if (has_base && order == WriteOrder::ordered) continue;
                ImageSetup setup = make_setup(shape, order);
                if (has_base) add_base(setup, base == "long");
                if (base == "chain") add_chain(setup);
                for (const bool is_used : {true, false}) {
                    setups.push_back({fmt::format("{}x{}-{}-base-{}-{}", shape.cluster_bytes,
                                                  shape.table_clusters, name_of(order), base,
                                                  is_used ? "used" : "fresh"),
                                      setup, is_used});
                }
            }
        }
    }
    return setups;
}

std::vector<Symbol> crash_alphabet(const ImageSetup& setup) {
    const std::uint64_t unit = setup.cluster_bytes;
    const std::uint64_t span = setup.table_span();
    const std::uint64_t far = span + 5 * unit;
    return {
        {'a', {Step::write, 2 * unit + 512, 1024}, "inside a new cluster"},
        {'b', {Step::write, 1024, 512}, "inside an old cluster"},
        {'c', {Step::write, 2 * unit - 1024, unit + 1536}, "across clusters, old and new"},
        {'d', {Step::write, span - 512, 1024}, "across tables"},
        {'e', {Step::write, 3 * unit, unit}, "a whole new cluster"},
        {'f', {Step::write, 4 * unit + 512, 512}, "inside a zero cluster"},
        {'g', {Step::write, 2 * unit + 100, 1000}, "parts of sectors"},
        {'h', {Step::write, far, setup.image_bytes - far}, "up to the end of the disk"},
        {'i', {Step::write_fua, 7 * unit, 512}, "FUA, in a new cluster"},
        {'j', {Step::write_zeroes, 0, 2 * unit}, "zero whole clusters"},
        {'k', {Step::write_zeroes, 5 * unit + 512, 2 * unit}, "zero across, not aligned"},
        {'l', {Step::write_zeroes_unmap, unit, 3 * unit}, "zero and unmap"},
        {'m', {Step::discard, 5 * unit, 2 * unit}, "discard whole clusters"},
        {'n', {Step::discard, 512, 2 * unit}, "discard, not aligned"},
        {'o', {Step::flush, 0, 0}, "flush"},
        {'p', {Step::resize, 0, 5 * unit + 512}, "shrink into the first table"},
        {'q', {Step::resize, 0, setup.image_bytes + 4 * unit}, "grow"},
        {'r', {Step::quiesce, 0, 0}, "quiesce"},
        {'s', {Step::reopen, 0, 0}, "reopen"},
        {'t', {Step::repair, 0, 0}, "repair all"},
        {'u', {Step::repair_leaks, 0, 0}, "repair leaks"},
        {'v', {Step::kill, 0, 0}, "the process dies"},
        {'w', {Step::store_zeroes, 5 * unit, unit}, "zeroes as data in an old cluster"},
        {'x', {Step::compact, 0, 0}, "compact"},
        {'z', {Step::compact_step, 0, 16 * unit}, "compact steps"},
        {'A', {Step::sort_step, 0, 16 * unit}, "sort steps"},
        {'y', {Step::rename_backing, 0, 0}, "another name for the backing file"},
        {'B', {Step::detach_backing, 0, 0}, "no backing file any more"},
    };
}

std::vector<Operation> spell(const std::vector<Symbol>& alphabet, std::string_view word) {
    std::vector<Operation> operations;
    for (const char name : word) {
        const auto symbol = std::ranges::find(alphabet, name, &Symbol::name);
        if (symbol == alphabet.end()) {
            throw Failure("usage", fmt::format("no operation is called '{}'", name));
        }
        operations.push_back(symbol->operation);
    }
    return operations;
}

PreparedImage::PreparedImage(const NamedSetup& named)
    : world(1), disk(world, named.setup.image_bytes, named.setup.base) {
    Machine machine(world, named.setup, FileContent{}, true);
    Session session(machine, disk);
    if (const auto made = machine.format(); !made) {
        throw Failure("an image can be made", made.error().message());
    }
    disk.end_flush(world.tick());
    if (const auto opened = machine.open(); !opened) {
        throw Failure("the image opens", opened.error().message());
    }
    if (named.is_used) use(session, named.setup);
    session.verify_reads();
    session.run({.step = Step::flush});
    if (const auto closed = machine.close(); !closed) {
        throw Failure("the image closes", closed.error().message());
    }
    session.verify_file("after preparation");
    content = machine.storage().current();
}

}  // namespace qed::sim
