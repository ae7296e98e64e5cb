// SPDX-License-Identifier: Apache-2.0
#include "sim/random_guest.hpp"

#include <algorithm>
#include <array>

#include "sim/reference_disk.hpp"

namespace qed::sim {

namespace {

template <class T, std::size_t N>
T pick(Random& random, const std::array<T, N>& choices) {
    return choices[random.below(N)];
}

void add_base(ImageSetup& setup, Random& random) {
    setup.has_base = true;
    const std::uint64_t sectors = setup.image_bytes / kSectorBytes;
    const std::uint64_t end = random.chance(1, 3) ? (sectors + random.between(1, 64)) * kSectorBytes
                                                  : random.between(1, sectors) * kSectorBytes;
    std::array<std::byte, kSectorBytes> sector{};
    for (std::uint64_t run = random.between(4, 40); run > 0; --run) {
        std::uint64_t at = random.below(end / kSectorBytes) * kSectorBytes;
        for (std::uint64_t count = random.between(1, 40); count > 0 && at < end; --count) {
            stamp_sector(sector, std::uint64_t{1} << 32, at / kSectorBytes);
            setup.base.write(at, sector);
            at += kSectorBytes;
        }
    }
    setup.base.resize(end);
}

}  // namespace

ImageSetup random_setup(Random& random, bool chases_tables) {
    ImageSetup setup{
        .cluster_bytes = pick(random, std::array<std::uint32_t, 4>{4096, 4096, 8192, 16384}),
        .table_clusters = pick(random, std::array<std::uint32_t, 4>{1, 1, 2, 16}),
        .base = {}};
    const std::uint64_t clusters = random.chance(1, 3)
                                       ? random.between(3, 40)
                                       : random.between(1, 3 * setup.table_entries() + 7);
    setup.image_bytes = clusters * setup.cluster_bytes +
                        random.below(setup.cluster_bytes / kSectorBytes) * kSectorBytes;
    setup.slice_bytes = pick(random, std::array<std::uint32_t, 3>{512, 512, 4096});
    setup.cache_limit = pick(random, std::array<std::uint64_t, 4>{0, 1024, 2048, 16384});
    setup.readahead_slices = pick(random, std::array<std::uint32_t, 3>{1, 4, 8});
    setup.deferred_limit = pick(random, std::array<std::uint64_t, 3>{512, 4096, 1U << 20});
    if (chases_tables) {
        setup.image_bytes = std::max(setup.image_bytes, 2 * setup.table_span());
        setup.readahead_slices = 8;
    }
    if (random.chance(1, 2)) {
        add_base(setup, random);
        setup.order = pick(random, std::array{WriteOrder::strict, WriteOrder::deferred});
    } else {
        setup.order = pick(random, std::array{WriteOrder::strict, WriteOrder::ordered,
                                              WriteOrder::ordered, WriteOrder::deferred});
    }
    return setup;
}

RandomGuest::RandomGuest(const ImageSetup& setup, Random& random, bool chases_tables)
    : setup_(setup),
      random_(random),
      chases_tables_(chases_tables),
      read_weight_(random.between(5, 40)),
      write_weight_(random.between(20, 60)),
      unmap_weight_(random.between(0, 20)),
      flush_weight_(random.between(0, 12)),
      compact_weight_(random.chance(1, 2) ? random.between(1, 8) : 0) {
    const std::uint64_t clusters = setup.image_bytes / setup.cluster_bytes + 1;
    for (std::uint64_t count = random.between(2, 14); count > 0; --count)
        hot_.push_back(random.below(clusters));
    hot_.push_back(clusters - 1);
    for (std::uint64_t end = setup.table_entries(); end < clusters; end += setup.table_entries()) {
        hot_.push_back(end - 1);
        hot_.push_back(end);
    }
}

std::uint64_t RandomGuest::pick_offset(std::uint64_t bytes) {
    const std::uint64_t unit = setup_.cluster_bytes;
    const bool is_hot = !chases_tables_ && random_.chance(5, 8);
    const std::uint64_t cluster =
        is_hot ? hot_[random_.below(hot_.size())] : random_.below(bytes / unit + 1);
    const std::uint64_t sector = random_.chance(1, 3) ? 0 : random_.below(unit / kSectorBytes);
    const std::uint64_t offset = cluster * unit + sector * kSectorBytes;
    return offset < bytes ? offset : random_.below(bytes / kSectorBytes) * kSectorBytes;
}

std::uint64_t RandomGuest::pick_length() {
    const std::uint64_t unit = setup_.cluster_bytes;
    switch (random_.below(8)) {
        case 0:
            return unit;
        case 1:
            return unit * random_.between(1, 3);
        case 2:
            return random_.between(1, 3 * unit / kSectorBytes) * kSectorBytes;
        default:
            return random_.between(1, 8) * kSectorBytes;
    }
}

Step RandomGuest::pick_step() {
    struct Weighted {
        Step step;
        std::uint64_t weight;
    };
    const std::array<Weighted, 11> steps{{{Step::read, read_weight_},
                                          {Step::write, write_weight_},
                                          {Step::write_zeroes, unmap_weight_ / 2},
                                          {Step::write_zeroes_unmap, unmap_weight_ / 2},
                                          {Step::discard, unmap_weight_},
                                          {Step::flush, flush_weight_},
                                          {Step::write_fua, flush_weight_ / 3},
                                          {Step::quiesce, flush_weight_ / 6},
                                          {Step::compact_step, compact_weight_},
                                          {Step::sort_step, compact_weight_ / 2},
                                          {Step::prefetch, chases_tables_ ? 60U : 4U}}};
    std::uint64_t total = 0;
    for (const Weighted& weighted : steps)
        total += weighted.weight;
    std::uint64_t dice = random_.below(total);
    for (const Weighted& weighted : steps) {
        if (dice < weighted.weight) return weighted.step;
        dice -= weighted.weight;
    }
    return Step::read;
}

Operation RandomGuest::next(std::uint64_t bytes, bool may_resize) {
    if (may_resize && random_.chance(1, 150)) {
        const std::uint64_t most = setup_.image_bytes * 5 / 4;
        return {Step::resize, 0, random_.between(8, most / kSectorBytes) * kSectorBytes};
    }
    Operation operation{.step = pick_step()};
    if (operation.step == Step::compact_step || operation.step == Step::sort_step) {
        operation.length = random_.between(1, 16) * setup_.cluster_bytes;
    }
    if (!has_range(operation.step)) return operation;
    operation.offset = pick_offset(bytes);
    // Only a long run of tables is read ahead.
    const bool is_long = operation.step == Step::prefetch && random_.chance(3, 4);
    if (is_long) operation.offset -= operation.offset % setup_.table_span();
    const std::uint64_t length = is_long ? setup_.table_span() : pick_length();
    operation.length = std::min(length, bytes - operation.offset);
    return operation;
}

}  // namespace qed::sim
