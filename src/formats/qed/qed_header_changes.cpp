// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "base/mutants.hpp"
#include "formats/qed/qed_layer.hpp"

// What changes the header of an open image: size, backing name, NEED_CHECK at quiet moments.

namespace qed {
namespace {

constexpr std::size_t kMaxNameBytes = 1023;
constexpr std::uint64_t kNameBlockBytes = 4096;

}  // namespace

// --- Size ---------------------------------------------------------------------------------------

Task<Result<void>> QedLayer::resize(std::uint64_t bytes, bool allow_data_loss) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    if (bytes == 0 || bytes % kSectorBytes != 0 || bytes > geometry_.max_image_bytes()) {
        co_return fail(
            Errc::invalid_argument,
            fmt::format("{}: the image size {} must be a multiple of {} and at most {} "
                        "at this cluster and table size",
                        file_->name(), bytes, kSectorBytes, geometry_.max_image_bytes()));
    }
    AsyncMutex::Guard resizing = co_await resizing_.lock();
    if (bytes > size()) co_return co_await grow(bytes);
    if (bytes < size()) co_return co_await shrink(bytes, allow_data_loss);
    co_return {};
}

// Whatever the new space would show, from an earlier life or from a longer backing file, is made
// to read as zeroes before the header says that it exists.
Task<Result<void>> QedLayer::grow(std::uint64_t bytes) {
    const std::uint64_t old_bytes = size();
    QED_CO_CHECK(co_await load_l1(l1_loaded_for(old_bytes), bytes));
    const std::uint64_t cluster_end = geometry_.round_up_cluster(old_bytes);
    if (cluster_end != old_bytes) {
        const std::uint64_t edge = std::min(cluster_end, bytes) - old_bytes;
        QED_CO_CHECK(co_await zero_edge(GuestOffset{old_bytes}, edge, true));
    }
    const std::uint64_t end = geometry_.round_up_cluster(bytes);
    std::uint64_t backing_end = lacks_backing_ ? end : cluster_end;  // nobody knows how long it is
    if (backing_ != nullptr) {
        backing_end = std::clamp(geometry_.round_up_cluster(backing_->size()), cluster_end, end);
    }
    if (!detail::mutant(detail::Mutant::grow_shows_backing)) {
        QED_CO_CHECK(co_await mark_clusters(GuestOffset{cluster_end}, backing_end, kZeroEntry));
    }
    if (detail::mutant(detail::Mutant::shrink_keeps_entries)) co_return co_await write_size(bytes);
    QED_CO_CHECK(co_await mark_clusters(GuestOffset{backing_end}, end, kUnallocatedEntry));
    QED_CO_CHECK(co_await flush());
    // Whoever takes the cluster that the image ends in for a whole one is done with it, or will
    // see the new size.
    ClusterRangeLock::Claim claim(range_locks_, geometry_.cluster_index(GuestOffset{old_bytes}),
                                  geometry_.cluster_index(GuestOffset{old_bytes}));
    co_await claim;
    co_return co_await write_size(bytes);
}

Task<Result<void>> QedLayer::shrink(std::uint64_t bytes, bool allow_data_loss) {
    const std::uint64_t old_bytes = size();
    const std::uint64_t end = geometry_.round_up_cluster(old_bytes);
    const std::uint64_t kept_end = geometry_.round_up_cluster(bytes);
    if (!allow_data_loss) {
        for (GuestOffset at{bytes}; at.value < old_bytes;) {
            const Result<Mapping> found = co_await look_up(at, old_bytes - at.value);
            if (!found) co_return std::unexpected(found.error().clone());
            if (found->kind == Mapping::Kind::data) {
                co_return fail(
                    Errc::invalid_argument,
                    fmt::format("{}: shrinking to {} bytes would discard data at {}; pass "
                                "--shrink to do so",
                                file_->name(), bytes, at.value));
            }
            at += found->length;
        }
    }
    // First nobody can see the end any more, then it is given back: a power cut in between leaves
    // entries that no guest offset reaches.
    QED_CO_CHECK(co_await write_size(bytes));
    if (detail::mutant(detail::Mutant::shrink_keeps_entries)) co_return {};
    QED_CO_CHECK(co_await mark_clusters(GuestOffset{kept_end}, end, kUnallocatedEntry));
    co_return {};
}

Task<Result<void>> QedLayer::write_size(std::uint64_t bytes) {
    AsyncMutex::Guard tables = co_await committer_->table_lock().lock();
    QED_CO_CHECK(co_await committer_->write_deferred());
    Header changed = header_.header();
    changed.image_bytes = bytes;
    if (bytes < size()) bytes_.store(bytes, std::memory_order_release);
    QED_CO_CHECK(co_await header_.replace(changed));
    QED_CO_CHECK(co_await flushes_.flush());
    bytes_.store(bytes, std::memory_order_release);
    co_return {};
}

// --- Backing file name --------------------------------------------------------------------------

Task<Result<void>> QedLayer::set_backing_name(const char* name, BackingFormat format) {
    QED_CO_CHECK(check_write(GuestOffset{0}, 0));
    const std::string_view text = name != nullptr ? name : "";
    if (header_.header().compat_features != 0) {
        co_return fail(Errc::unsupported_feature,
                       fmt::format("{}: has compatible features {:#x} that this version does not "
                                   "know; its backing file name must not be changed",
                                   file_->name(), header_.header().compat_features));
    }
    if (text.size() > kMaxNameBytes || (name != nullptr && text.empty())) {
        co_return fail(Errc::invalid_argument,
                       fmt::format("a backing file name has 1 to {} bytes, this one has {}",
                                   kMaxNameBytes, text.size()));
    }
    AsyncMutex::Guard tables = co_await committer_->table_lock().lock();
    // What was copied out of the old backing file is durable before that is forgotten.
    QED_CO_CHECK(co_await committer_->write_deferred());
    QED_CO_CHECK(co_await flushes_.flush());
    Header changed = header_.header();
    changed.features &= ~(feature::kBackingFile | feature::kBackingIsRaw);
    changed.backing_name_offset = 0;
    changed.backing_name_bytes = 0;
    if (name != nullptr) {
        changed.features |= feature::kBackingFile;
        if (format == BackingFormat::raw) changed.features |= feature::kBackingIsRaw;
        QED_CO_CHECK(co_await write_name(text, changed));
    }
    QED_CO_CHECK(co_await header_.replace(changed));
    QED_CO_CHECK(co_await flushes_.flush());
    const std::scoped_lock lock(name_mutex_);
    backing_name_ = text;
    co_return {};
}

// The new name is durable beside the old one before the header points to it.
Task<Result<void>> QedLayer::write_name(std::string_view name, Header& header) {
    const Header& old = header_.header();
    const std::uint64_t old_end =
        old.has_backing() ? std::uint64_t{old.backing_name_offset} + old.backing_name_bytes : 0;
    std::uint64_t at = kHeaderBytes;
    if (old.has_backing() && old.backing_name_offset < at + name.size()) at = old_end;
    if (at + name.size() > kNameBlockBytes) at = kHeaderBytes;
    Result<AlignedBuffer> block = AlignedBuffer::create(kNameBlockBytes, kNameBlockBytes);
    if (!block) co_return pass(block);
    QED_CO_CHECK(co_await file_->read(FileOffset{0}, block->span()));
    std::ranges::copy(std::as_bytes(std::span(name)), block->data() + at);
    QED_CO_CHECK(co_await file_->write(FileOffset{0}, block->span()));
    QED_CO_CHECK(co_await flushes_.flush());
    header.backing_name_offset = static_cast<std::uint32_t>(at);
    header.backing_name_bytes = static_cast<std::uint32_t>(name.size());
    co_return {};
}

// --- Quiet moments ------------------------------------------------------------------------------

Task<Result<void>> QedLayer::quiesce() {
    if (!options_.writable) co_return {};
    QED_CO_CHECK(check_not_stopped());
    {
        AsyncMutex::Guard tables = co_await committer_->table_lock().lock();
        QED_CO_CHECK(co_await committer_->write_deferred());
        if (header_.is_dirty()) {
            QED_CO_CHECK(co_await header_.clear_dirty());
        } else {
            QED_CO_CHECK(co_await flushes_.flush());
        }
    }
    co_return co_await punch_free_space();
}

Task<Result<void>> QedLayer::finish() {
    if (!options_.writable || flushes_.has_failed()) co_return {};
    co_return co_await extender_.cut(allocator_.trim_end());
}

}  // namespace qed
