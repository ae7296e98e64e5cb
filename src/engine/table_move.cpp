// SPDX-License-Identifier: Apache-2.0
#include "engine/table_move.hpp"

#include <algorithm>
#include <cerrno>
#include <memory_resource>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/mutants.hpp"
#include "engine/new_tables.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kChunkBytes = 1U << 20;

}  // namespace

Task<Result<void>> TableMove::run(std::uint64_t l1_index, FileOffset to) {
    const FileOffset from{parts_.cache.l1(l1_index)};
    QED_ASSERT(is_data_entry(from.value) && from.value != to.value);
    const Result<void> copied = co_await copy(from, to);
    if (!copied) {
        parts_.allocator.abandon({.offset = to, .clusters = layout_.table_clusters});
        co_return std::unexpected(copied.error().clone());
    }
    if (!detail::mutant(detail::Mutant::moved_table_not_flushed)) {
        QED_CO_CHECK(co_await parts_.flushes.flush());
    }
    QED_CO_CHECK(co_await link(l1_index, to));
    parts_.allocator.release(from, layout_.table_clusters);
    co_return {};
}

Task<Result<void>> TableMove::copy(FileOffset from, FileOffset to) {
    const std::uint64_t end = to.value + layout_.table_bytes();
    if (parts_.extender.bytes() < end) QED_CO_CHECK(co_await parts_.extender.extend_to(end));
    const std::uint64_t chunk = std::min(layout_.table_bytes(), kChunkBytes);
    Result<AlignedBuffer> buffer = AlignedBuffer::create(chunk, 4096);
    if (!buffer) co_return pass(buffer);
    for (std::uint64_t done = 0; done < layout_.table_bytes(); done += chunk) {
        QED_CO_CHECK(co_await parts_.file.read(from + done, buffer->span()));
        QED_CO_CHECK(co_await parts_.file.write(to + done, buffer->span()));
    }
    co_return {};
}

Task<Result<void>> TableMove::link(std::uint64_t l1_index, FileOffset to) {
    std::pmr::memory_resource& memory = *std::pmr::get_default_resource();
    const std::uint32_t unit = table_write_unit(parts_.file, parts_.cache);
    SectorWriter writer(parts_.file, unit, memory);
    NewTables moved(parts_, layout_, unit, memory);
    moved.add_moved(l1_index, to);
    moved.plan(writer);
    QED_CO_CHECK(writer.allocate());
    QED_CO_CHECK(co_await moved.link(writer));
    if (!moved.all().front().is_linked) {
        co_return std::unexpected(
            Error::from_errno(EIO, {}).with_context("the L1 entry of a moved table"));
    }
    parts_.cache.set_l1(l1_index, to.value);
    co_return {};
}

}  // namespace qed
