// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/layer.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/mutants.hpp"

namespace qed {
namespace {

// So many bytes of freed clusters may wait for a flush, or an eighth of the disk.
constexpr std::uint64_t kFreedBytes = 64U << 20;

TableCommitter::Rules rules_for(const HeaderInfo& info, const OpenOptions& options) {
    return {.strict = options.order == WriteOrder::strict ||
                      options.order == WriteOrder::deferred || info.header.has_backing(),
            .defers = options.order == WriteOrder::deferred,
            .deferred_limit = options.deferred_limit,
            .freed_limit = std::max(kFreedBytes, info.header.image_bytes / 8)};
}

LayerTraits traits_of(const HeaderInfo& info, const OpenOptions& options) {
    return {.format = QedLayer::kFormat,
            .bytes = info.header.image_bytes,
            .cluster_bytes = info.header.cluster_bytes,
            .backing = info.backing(),
            .is_writable = options.writable,
            .has_file_holes = false};
}

TableLayout layout_of(const HeaderInfo& info) {
    return {.cluster = ClusterSize(info.geometry.cluster_bits()),
            .table_clusters = info.geometry.table_clusters(),
            .l1_table = info.header.l1_table_offset};
}

}  // namespace

QedLayer::QedLayer(std::unique_ptr<BlockFile> file, const HeaderInfo& info,
                   std::unique_ptr<QedTables> tables, std::shared_ptr<Layer> backing,
                   const OpenOptions& options)
    : Layer(std::move(file), std::move(backing), traits_of(info, options)),
      geometry_(info.geometry),
      tables_(std::move(tables)),
      flushes_(*file_),
      header_(*file_, flushes_, info.header),
      engine_({.file = *file_,
               .cache = tables_->cache(),
               .flushes = flushes_,
               .marker = header_,
               .disk = *this,
               .epochs = epochs_},
              layout_of(info), rules_for(info, options), info.file_bytes),
      resize_({.tables = *tables_, .engine = engine_, .header = header_, .flushes = flushes_},
              geometry_, bytes_) {
    start_index(geometry_.cluster_bits() + tables_->cache().addressing().entry_bits());
    set_compaction(*this);
}

// --- The base -----------------------------------------------------------------------------------

std::uint64_t QedLayer::base_bytes() const noexcept {
    if (lacks_backing()) return std::numeric_limits<std::uint64_t>::max();
    return backing_ != nullptr ? backing_->size() : 0;
}

// The open base is visible until the image is closed, even if the header changes. A base that only
// the header names becomes visible when the image is opened again.
bool QedLayer::may_show_base() const noexcept {
    return lacks_backing() || backing_ != nullptr || header_.has_backing();
}

Task<Result<void>> QedLayer::read_base(GuestOffset at, std::span<std::byte> buffer) {
    const std::uint64_t end = std::min(size(), base_bytes());
    const auto stored = std::min<std::uint64_t>(buffer.size(), end - std::min(at.value, end));
    if (backing_ != nullptr && stored == buffer.size()) {
        return backing_->read(at, buffer);  // not a coroutine of its own
    }
    return read_base_partly(at, buffer, stored);
}

// Past the end of the disk and of the base the guest sees zeroes.
Task<Result<void>> QedLayer::read_base_partly(GuestOffset at, std::span<std::byte> buffer,
                                              std::uint64_t stored) {
    if (stored != 0) {
        if (backing_ == nullptr) {
            co_return fail(Errc::backing_refused,
                           fmt::format("{}: the backing file '{}' was not opened", file_->name(),
                                       backing_name()));
        }
        QED_CO_CHECK(co_await backing_->read(at, buffer.first(stored)));
    }
    if (stored != buffer.size()) {
        std::memset(buffer.data() + stored, 0, buffer.size() - stored);
    }
    co_return {};
}

// --- Requests -----------------------------------------------------------------------------------

Result<void> QedLayer::check_write(GuestOffset at, std::uint64_t length) const {
    if (!is_writable()) {
        return fail(Errc::read_only, fmt::format("{}: opened read-only", file_->name()));
    }
    QED_CHECK(flushes_.check_not_failed());
    return check_range(at, length);
}

Result<void> QedLayer::admit_write(GuestOffset at, std::uint64_t length) {
    QED_CHECK(check_write(at, length));
    counters_.add(ImageCounter::writes);
    counters_.add(ImageCounter::write_bytes, length);
    return {};
}

Result<void> QedLayer::try_write_in_place(GuestOffset at, std::span<const std::byte> data,
                                          Mapping& seen) {
    if (!may_write(at, data.size())) return check_write(at, data.size());
    Result<void> done = engine_.writes().try_in_place(at, data, seen);
    if (done && seen.writable_in_place) {
        counters_.add(ImageCounter::writes);
        counters_.add(ImageCounter::write_bytes, data.size());
    }
    return done;
}

// Not a coroutine of its own if there is no work afterwards.
Task<Result<void>> QedLayer::write(GuestOffset at, std::span<const std::byte> data,
                                   WriteFlags flags, Mapping seen) {
    if (has(flags, WriteFlags::fua) && !detail::mutant(detail::Mutant::fua_without_flush)) {
        return write_through(at, data, seen);
    }
    return engine_.writes().write(at, data, seen);
}

Task<Result<void>> QedLayer::write_through(GuestOffset at, std::span<const std::byte> data,
                                           Mapping seen) {
    QED_CO_CHECK(co_await engine_.writes().write(at, data, seen));
    co_return co_await flush();
}

Task<Result<void>> QedLayer::write_zeroes(GuestOffset at, std::uint64_t length, WriteFlags flags) {
    QED_CO_CHECK(check_write(at, length));
    counters_.add(ImageCounter::zeroes);
    const ZeroPath::Options options{.may_write = !has(flags, WriteFlags::no_fallback),
                                    .keeps_allocated = has(flags, WriteFlags::no_hole),
                                    .marks_always = has(flags, WriteFlags::explicit_zero)};
    QED_CO_CHECK(co_await engine_.zeroes().write_zeroes(at, at.value + length, options));
    if (has(flags, WriteFlags::fua)) co_return co_await flush();
    co_return {};
}

Task<Result<void>> QedLayer::discard(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_write(at, length));
    counters_.add(ImageCounter::discards);
    co_return co_await engine_.zeroes().discard(at, at.value + length);
}

Task<Result<void>> QedLayer::flush() {
    if (!is_writable()) co_return {};
    QED_CO_CHECK(flushes_.check_not_failed());
    counters_.add(ImageCounter::flushes);
    if (detail::mutant(detail::Mutant::flush_does_nothing)) co_return {};
    co_return co_await engine_.flush();
}

// --- The image itself ---------------------------------------------------------------------------

Task<Result<void>> QedLayer::resize(std::uint64_t bytes, bool allow_data_loss) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    co_return co_await resize_.resize(bytes, allow_data_loss);
}

Task<Result<void>> QedLayer::set_backing(BackingReference backing) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    AsyncMutex::Guard lock = co_await engine_.tables().table_lock().lock();
    const std::uint64_t unknown = header_.header().compat_features;
    if (unknown != 0) {
        co_return fail(Errc::unsupported_feature,
                       fmt::format("{}: has compatible features {:#x} that this version does not "
                                   "know; its backing file name must not be changed",
                                   file_->name(), unknown));
    }
    // Data that was copied from the old backing file is durable before the header drops its name.
    QED_CO_CHECK(co_await engine_.tables().write_deferred());
    QED_CO_CHECK(co_await flushes_.flush());
    QED_CO_CHECK(
        co_await header_.replace_backing(backing.name, backing.format == BackingFormat::raw));
    set_backing_reference(std::move(backing));
    co_return {};
}

Task<Result<void>> QedLayer::quiesce(bool closes) {
    if (!is_writable()) co_return {};
    QED_CO_CHECK(co_await engine_.compactor().pause());
    QED_CO_CHECK(co_await engine_.idle().quiesce());
    // What was punched at the end. A file that stays long loses nothing but space.
    if (closes) static_cast<void>(co_await engine_.idle().cut());
    co_return {};
}

Task<Result<CompactStep>> QedLayer::compact(std::uint64_t bytes) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    co_return co_await engine_.compactor().step(bytes);
}

Task<Result<SortStep>> QedLayer::sort(std::uint64_t bytes) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    co_return co_await engine_.sort().step(bytes);
}

void QedLayer::add_to(Stats& stats) const {
    engine_.add_to(stats);
    stats.cache = tables_->cache().stats();
}

}  // namespace qed
