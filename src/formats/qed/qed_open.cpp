// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "base/mutants.hpp"
#include "formats/qed/qed_layer.hpp"
#include "formats/qed/qed_table_shape.hpp"
#include "qed/check.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kScanBytes = 1U << 20;

constexpr std::uint64_t kL1LoadUnit = 4096 / sizeof(Entry);

MemoryBudget& budget_of(const OpenOptions& options) {
    return static_cast<MemoryBudget&>(options.budget != nullptr ? *options.budget
                                                                : *CacheBudget::process());
}

// A dirty image may hold entries that name nothing yet: they are cleared before anything is
// allocated, or two guest clusters could come to share one. Leaked clusters stay: moving data about
// takes its time, and they may hold what a cleared entry was meant to name.
Task<Result<void>> repair_dirty(BlockFile& file, OpenOptions options) {
    if (!options.repair_dirty) {
        co_return fail(
            Errc::needs_check,
            fmt::format("{}: was not closed cleanly; run 'qed check -r all' on it", file.name()));
    }
    CheckOptions check;
    check.repair = Repair::entries;
    const Result<CheckReport> report = co_await check_file(file, check);
    if (!report) co_return std::unexpected(report.error().clone());
    if (report->is_dirty || report->corruptions != 0 || report->check_errors != 0) {
        co_return fail(Errc::needs_check,
                       fmt::format("{}: was not closed cleanly and could not be repaired: {} "
                                   "corruptions, {} errors remain; run 'qed check' on it",
                                   file.name(), report->corruptions, report->check_errors));
    }
    co_return {};
}

}  // namespace

QedLayer::QedLayer(std::unique_ptr<BlockFile> file, HeaderInfo&& info,
                   std::shared_ptr<Image> backing, const OpenOptions& options)
    : Layer(std::move(file), std::move(backing)),
      options_(options),
      geometry_(info.geometry),
      strict_(options.order == WriteOrder::strict || options.order == WriteOrder::deferred ||
              info.header.has_backing()),
      lacks_backing_(info.header.has_backing() && backing_ == nullptr),
      backing_name_(std::move(info.backing_name)),
      budget_(budget_of(options)),
      decoder_(*file_, info.header, geometry_),
      allocator_(geometry_, epochs_),
      extender_(*file_),
      flushes_(*file_, allocator_),
      header_(*file_, flushes_),
      bytes_(info.header.image_bytes) {
    header_.start_with(info.header);
    decoder_.know_bytes(info.file_bytes);
    extender_.start_at(info.file_bytes);
    allocator_.set_end(geometry_.round_up_cluster(info.file_bytes));
}

QedLayer::~QedLayer() = default;

std::string QedLayer::backing_name() const {
    const std::scoped_lock lock(name_mutex_);
    return backing_name_;
}

Task<Result<std::unique_ptr<Layer>>> QedLayer::open(std::unique_ptr<BlockFile> file,
                                                    HeaderInfo info, std::shared_ptr<Image> backing,
                                                    OpenOptions options) {
    if (options.writable && file->is_read_only()) {
        co_return fail(Errc::read_only, fmt::format("{}: the file is read-only", file->name()));
    }
    if (options.writable && info.header.needs_check() &&
        !detail::mutant(detail::Mutant::allocate_named_past_eof)) {
        QED_CO_CHECK(co_await repair_dirty(*file, options));
        Result<HeaderInfo> repaired = co_await read_header(*file);
        if (!repaired) co_return pass(repaired);
        info = std::move(*repaired);
    }
    std::unique_ptr<QedLayer> layer(
        new QedLayer(std::move(file), std::move(info), std::move(backing), options));
    QED_CO_CHECK(layer->make_cache());
    QED_CO_CHECK(co_await layer->load_l1(0, layer->size()));
    if (options.writable) QED_CO_CHECK(co_await layer->prepare_writing());
    std::unique_ptr<Layer> opened = std::move(layer);
    co_return std::move(opened);
}

Result<void> QedLayer::make_cache() {
    const std::uint32_t unit = file_->alignment().offset;
    const std::uint32_t wanted = std::bit_ceil(options_.slice_bytes);
    Result<std::unique_ptr<MappingCache>> cache = MappingCache::create(
        *file_, budget_,
        table_shape(geometry_,
                    std::clamp<std::uint32_t>(wanted, std::clamp(unit, 512U, 4096U), 65536)),
        decoder_,
        {.readahead_slices = options_.readahead_slices, .limit_bytes = options_.cache_limit});
    if (!cache) return pass(cache);
    cache_ = std::move(*cache);
    start_index(geometry_.cluster_bits() + cache_->addressing().entry_bits());
    committer_.emplace(TableCommitter::Parts{.file = *file_,
                                             .cache = *cache_,
                                             .allocator = allocator_,
                                             .extender = extender_,
                                             .flushes = flushes_,
                                             .header = header_},
                       geometry_,
                       TableCommitter::Rules{.strict = strict_,
                                             .defers = options_.order == WriteOrder::deferred,
                                             .deferred_limit = options_.deferred_limit});
    return {};
}

// The entries from `first` on that an image of `image_bytes` uses, and those that share their last
// sector: writing a sector back must not change its neighbours.
Task<Result<void>> QedLayer::load_l1(std::uint64_t first, std::uint64_t image_bytes) {
    const std::uint64_t end = l1_loaded_for(image_bytes);
    if (end <= first) co_return {};
    const FileOffset l1_at = header_.header().l1_table_offset;
    Result<AlignedBuffer> raw =
        AlignedBuffer::create(std::min((end - first) * sizeof(Entry), kScanBytes), 4096);
    if (!raw) co_return pass(raw);
    std::vector<std::uint64_t> entries(end - first);
    for (std::uint64_t done = 0; done < entries.size();) {
        const auto part = raw->span().first(
            std::min<std::uint64_t>((entries.size() - done) * sizeof(Entry), raw->size()));
        QED_CO_CHECK(co_await file_->read(l1_at + (first + done) * sizeof(Entry), part));
        for (std::uint64_t i = 0; i < part.size() / sizeof(Entry); ++i)
            entries[done + i] = load_le64(part, i);
        done += part.size() / sizeof(Entry);
    }
    const std::vector<BadL1Entry> bad = find_bad_l1_entries(entries, decoder_.limits());
    if (options_.writable && !bad.empty()) {
        co_return fail(
            Errc::needs_check,
            fmt::format("{}: {}; run 'qed check -r all' on it before writing", file_->name(),
                        describe_bad_l1_entry(bad[0], decoder_.limits())));
    }
    for (const BadL1Entry& entry : bad)
        entries[entry.index] = kBadEntry;
    for (std::uint64_t i = 0; i < entries.size(); ++i) {
        // Zeroes are there already, and writing them would take memory.
        if (entries[i] != kUnallocatedEntry) cache_->set_l1(first + i, entries[i]);
    }
    co_return {};
}

std::uint64_t QedLayer::l1_loaded_for(std::uint64_t image_bytes) const noexcept {
    return std::min(round_up(geometry_.l1_entries_used(image_bytes), kL1LoadUnit),
                    cache_->l1_capacity());
}

Task<Result<void>> QedLayer::prepare_writing() {
    QED_CO_CHECK(co_await scan_tables());
    Header cleared = header_.header();
    cleared.autoclear_features = 0;
    if (cleared != header_.header()) QED_CO_CHECK(co_await header_.replace(cleared));
    co_return {};
}

// New clusters go behind the end of the file. If an entry names a cluster there, because the file
// was cut short, the two would share it: every table is looked at before the first allocation.
Task<Result<void>> QedLayer::scan_tables() {
    if (detail::mutant(detail::Mutant::allocate_named_past_eof)) co_return {};
    Result<AlignedBuffer> buffer =
        AlignedBuffer::create(std::min<std::uint64_t>(kScanBytes, geometry_.table_bytes()), 4096);
    if (!buffer) co_return pass(buffer);
    const std::uint64_t used = geometry_.l1_entries_used(size());
    for (std::uint64_t i = 0; i < std::min(used, cache_->l1_capacity()); ++i) {
        if (cache_->l1(i) == kUnallocatedEntry) continue;
        QED_CO_CHECK(co_await scan_table(i, buffer->span()));
    }
    co_return {};
}

Task<Result<void>> QedLayer::scan_table(std::uint64_t l1_index, std::span<std::byte> buffer) {
    const std::uint64_t table = cache_->l1(l1_index);
    const EntryLimits limits = decoder_.limits();
    for (std::uint64_t done = 0; done < geometry_.table_bytes();) {
        const auto data = file_->next_data(table + done);
        if (!data) co_return std::unexpected(data.error().clone());
        // Holes hold no entries.
        if (data->begin > table)
            done = std::max(done, round_down(data->begin - table, buffer.size()));
        if (done >= geometry_.table_bytes()) break;
        QED_CO_CHECK(co_await file_->read(FileOffset{table + done}, buffer));
        for (std::size_t i = 0; i < buffer.size() / 8; ++i) {
            const std::uint64_t entry = load_le64(buffer, i);
            if (entry <= kRawZero || limits.is_valid_cluster_offset(entry)) continue;
            const std::uint64_t index = done / 8 + i;
            const L2EntryPlace place{
                .table = FileOffset{table},
                .index = index,
                .guest = GuestOffset{(l1_index << geometry_.table_span_bits()) +
                                     (index << geometry_.cluster_bits())}};
            co_return fail(Errc::needs_check,
                           fmt::format("{}: {}; run 'qed check -r all' on it before writing",
                                       file_->name(), describe_bad_l2_entry(entry, place, limits)));
        }
        done += buffer.size();
    }
    co_return {};
}

Task<Result<Mapping>> QedLayer::load(GuestOffset at, std::uint64_t length) {
    Result<Mapping> found = co_await cache_->load(at, length);
    if (found) {
        if (found->kind == Mapping::Kind::unallocated) {
            found->length += hole_behind(at, found->length, length);
        }
        co_return found;
    }
    co_return std::unexpected(std::move(found.error()).with_context(file_->name()));
}

// Tables may be holes of the file, terabytes of them: to walk them slice by slice would take for
// ever. Only while nobody writes, or a slice in memory could be ahead of the hole.
std::uint64_t QedLayer::hole_behind(GuestOffset at, std::uint64_t found, std::uint64_t length) {
    const GuestOffset next{at.value + found};
    if (options_.writable || found >= length) return 0;
    if (geometry_.l1_index(next) != geometry_.l1_index(at)) return 0;
    const std::uint64_t table = cache_->l1(geometry_.l1_index(at));
    if (!is_data_entry(table)) return 0;
    const std::uint64_t begin = table + geometry_.l2_index(next) * sizeof(Entry);
    const std::uint64_t table_end = table + geometry_.table_bytes();
    const auto data = file_->next_data(begin);
    if (!data || data->begin <= begin) return 0;
    const std::uint64_t entries = (std::min(data->begin, table_end) - begin) / sizeof(Entry);
    return std::min(entries << geometry_.cluster_bits(), length - found);
}

Error QedLayer::explain(GuestOffset at) {
    const std::uint64_t l1_index = geometry_.l1_index(at);
    const FileOffset l1_at = header_.header().l1_table_offset;
    const std::string where =
        cache_->l1(l1_index) == kBadEntry
            ? fmt::format("L1 entry {} (at {:#x}) names no table inside the file", l1_index,
                          l1_at.value + l1_index * 8)
            : fmt::format("L2 entry {} of the table at {:#x} names no cluster inside the file",
                          geometry_.l2_index(at), cache_->l1(l1_index));
    return {Errc::corrupt_metadata,
            fmt::format("{}: guest offset {:#x} cannot be read: {}; 'qed check' lists what is "
                        "damaged",
                        file_->name(), at.value, where)};
}

void QedLayer::count_read(std::uint64_t bytes) noexcept {
    counters_.add(ImageCounter::reads);
    counters_.add(ImageCounter::read_bytes, bytes);
}

Stats QedLayer::stats() const {
    const TableCommitter::Totals tables = committer_->totals();
    Stats stats;
    stats.reads = counters_.sum(ImageCounter::reads);
    stats.read_bytes = counters_.sum(ImageCounter::read_bytes);
    stats.writes = counters_.sum(ImageCounter::writes);
    stats.write_bytes = counters_.sum(ImageCounter::write_bytes);
    stats.zeroes = counters_.sum(ImageCounter::zeroes);
    stats.discards = counters_.sum(ImageCounter::discards);
    stats.flushes = counters_.sum(ImageCounter::flushes);
    stats.file_flushes = flushes_.count();
    stats.allocated_clusters = counters_.sum(ImageCounter::allocated_clusters);
    stats.freed_clusters = allocator_.freed_clusters();
    stats.reused_clusters = allocator_.reused_clusters();
    stats.commit_groups = tables.groups;
    stats.grouped_updates = tables.updates;
    stats.table_writes = tables.writes;
    stats.table_write_bytes = tables.write_bytes;
    stats.turn_waits = counters_.sum(ImageCounter::turn_waits);
    stats.mapped_bytes = mapped_bytes();
    stats.cache = cache_->stats();
    return stats;
}

}  // namespace qed
