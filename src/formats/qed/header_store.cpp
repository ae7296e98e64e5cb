// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/header_store.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"
#include "formats/qed/header_info.hpp"

namespace qed {
namespace {

// The block of the file that holds the header and the name.
constexpr std::uint64_t kNameBlockBytes = 4096;

}  // namespace

HeaderStore::HeaderStore(BlockFile& file, FlushGroup& flushes, const Header& header)
    : file_(file), flushes_(flushes) {
    adopt(header);
    dirty_.store(header.needs_check(), std::memory_order_release);
}

Header HeaderStore::header() const {
    const ScopedLock lock(mutex_);
    return header_;
}

void HeaderStore::adopt(const Header& header) noexcept {
    {
        const ScopedLock lock(mutex_);
        header_ = header;
    }
    has_backing_.store(header.has_backing(), std::memory_order_relaxed);
    // The set bit counts only after set_dirty() has flushed it.
    if (!header.needs_check()) dirty_.store(false, std::memory_order_release);
}

Task<Result<void>> HeaderStore::replace(Header changed) {
    // Reads, edits and writes the block: the other bytes (the backing file's name) stay unchanged.
    const std::size_t unit = std::max<std::size_t>(kSectorBytes, file_.alignment().offset);
    Result<AlignedBuffer> block = AlignedBuffer::create(unit, std::max<std::size_t>(unit, 4096));
    if (!block) co_return pass(block);
    QED_CO_CHECK(co_await file_.read(FileOffset{0}, block->span()));
    const auto encoded = encode_header(changed);
    std::copy(encoded.begin(), encoded.end(), block->data());
    QED_CO_CHECK(co_await file_.write(FileOffset{0}, block->span()));
    adopt(changed);
    co_return {};
}

Task<Result<void>> HeaderStore::set_dirty() {
    if (is_dirty() || detail::mutant(detail::Mutant::need_check_never_set)) co_return {};
    Header changed = header();
    changed.features |= feature::kNeedCheck;
    QED_TRACE(need_check_set);
    Result<void> done = co_await replace(changed);
    if (done && !detail::mutant(detail::Mutant::no_flush_after_need_check))
        done = co_await flushes_.flush();
    if (!done) {
        // The bit on the disk is unknown: it is set again before the next entry depends on it.
        co_return std::unexpected(std::move(done.error()).with_context("marking the image dirty"));
    }
    dirty_.store(true, std::memory_order_release);
    co_return {};
}

Task<Result<void>> HeaderStore::clear_dirty() {
    if (!is_dirty()) co_return {};
    if (!detail::mutant(detail::Mutant::clear_need_check_before_flush)) {
        Result<void> flushed = co_await flushes_.flush();
        if (!flushed && !detail::mutant(detail::Mutant::clear_need_check_after_failed_flush))
            co_return flushed;
    }
    Header changed = header();
    changed.features &= ~feature::kNeedCheck;
    Result<void> done = co_await replace(changed);
    if (!done) {
        // The bit on the disk is unknown. Nothing depends on it until set_dirty() has set it.
        dirty_.store(false, std::memory_order_release);
        co_return done;
    }
    QED_TRACE(need_check_cleared);
    co_return co_await flushes_.flush();
}

Task<Result<void>> HeaderStore::replace_backing(std::string_view name, bool is_raw) {
    if (name.size() > kMaxBackingNameBytes) {
        co_return fail(Errc::invalid_argument,
                       fmt::format("a backing file name has 1 to {} bytes, this one has {}",
                                   kMaxBackingNameBytes, name.size()));
    }
    Header changed = header();
    changed.features &= ~(feature::kBackingFile | feature::kBackingIsRaw);
    changed.backing_name_offset = 0;
    changed.backing_name_bytes = 0;
    if (!name.empty()) {
        changed.features |= feature::kBackingFile;
        if (is_raw) changed.features |= feature::kBackingIsRaw;
        QED_CO_CHECK(co_await write_name(name, changed));
    }
    QED_CO_CHECK(co_await replace(changed));
    co_return co_await flushes_.flush();
}

// The new name is durable next to the old one before the header points to it.
Task<Result<void>> HeaderStore::write_name(std::string_view name, Header& changed) {
    const Header old = header();
    const std::uint64_t old_end =
        old.has_backing() ? std::uint64_t{old.backing_name_offset} + old.backing_name_bytes : 0;
    std::uint64_t at = kHeaderBytes;
    if (old.has_backing() && old.backing_name_offset < at + name.size()) at = old_end;
    if (at + name.size() > kNameBlockBytes) at = kHeaderBytes;
    Result<AlignedBuffer> block = AlignedBuffer::create(kNameBlockBytes, kNameBlockBytes);
    if (!block) co_return pass(block);
    QED_CO_CHECK(co_await file_.read(FileOffset{0}, block->span()));
    std::ranges::copy(std::as_bytes(std::span(name)), block->data() + at);
    QED_CO_CHECK(co_await file_.write(FileOffset{0}, block->span()));
    QED_CO_CHECK(co_await flushes_.flush());
    changed.backing_name_offset = static_cast<std::uint32_t>(at);
    changed.backing_name_bytes = static_cast<std::uint32_t>(name.size());
    co_return {};
}

}  // namespace qed
