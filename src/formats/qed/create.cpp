// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/endian.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/qed_driver.hpp"
#include "qed/header.hpp"

// Writes a new, empty image: tables first, the header last, so that an incomplete one is not a
// valid image.

namespace qed {
namespace {

constexpr std::uint64_t kChunkBytes = 1U << 20;

static_assert(CreateOptions{}.cluster_bytes == kDefaultClusterBytes);
static_assert(CreateOptions{}.table_clusters == kDefaultTableClusters);

struct Plan {
    Header header;
    Geometry geometry;
    std::string_view backing_name;
    std::uint64_t tables_at = 0;  ///< preallocation: first L2 table
    std::uint64_t data_at = 0;    ///< preallocation: first data cluster
    std::uint64_t file_bytes = 0;
};

Result<Plan> plan_image(const CreateOptions& options) {
    const Result<Geometry> geometry = Geometry::make(options.cluster_bytes, options.table_clusters);
    if (!geometry) return fail(Errc::invalid_argument, geometry.error().message());
    if (options.image_bytes % kSectorBytes != 0 ||
        options.image_bytes > geometry->max_image_bytes()) {
        return fail(Errc::invalid_argument,
                    fmt::format("image size {}: expected a multiple of {} up to {} bytes at "
                                "cluster_size {} and table_size {}",
                                options.image_bytes, kSectorBytes, geometry->max_image_bytes(),
                                options.cluster_bytes, options.table_clusters));
    }
    Plan plan{.header = {}, .geometry = *geometry, .backing_name = {}};
    if (options.backing_name != nullptr) plan.backing_name = options.backing_name;
    if (options.backing_name != nullptr &&
        (plan.backing_name.empty() || plan.backing_name.size() > kMaxBackingNameBytes)) {
        return fail(Errc::invalid_argument,
                    fmt::format("a backing file name has 1 to {} bytes, this one has {}",
                                kMaxBackingNameBytes, plan.backing_name.size()));
    }
    Header& header = plan.header;
    header.cluster_bytes = options.cluster_bytes;
    header.table_clusters = options.table_clusters;
    header.image_bytes = options.image_bytes;
    header.l1_table_offset = FileOffset{header.header_bytes()};
    if (!plan.backing_name.empty()) {
        header.features |= feature::kBackingFile;
        if (options.backing_format == BackingFormat::raw) {
            header.features |= feature::kBackingIsRaw;
        }
        header.backing_name_offset = kHeaderBytes;
        header.backing_name_bytes = static_cast<std::uint32_t>(plan.backing_name.size());
    }
    plan.tables_at = header.l1_table_offset.value + geometry->table_bytes();
    plan.file_bytes = plan.tables_at;
    if (options.preallocation == Preallocation::off) return plan;
    if (!plan.backing_name.empty()) {
        return fail(Errc::invalid_argument,
                    "preallocated clusters would hide the backing file: choose one of the two");
    }
    plan.data_at =
        plan.tables_at + geometry->l1_entries_used(options.image_bytes) * geometry->table_bytes();
    plan.file_bytes = plan.data_at + geometry->round_up_cluster(options.image_bytes);
    return plan;
}

// Writes `count` consecutive offsets, `step` apart, as table entries.
Task<Result<void>> write_entries(BlockFile& file, std::uint64_t at, std::uint64_t count,
                                 std::uint64_t first, std::uint64_t step) {
    const std::uint64_t bytes = (count * 8 + 4095) / 4096 * 4096;
    Result<AlignedBuffer> buffer = AlignedBuffer::create(std::min(bytes, kChunkBytes), 4096);
    if (!buffer) co_return pass(buffer);
    for (std::uint64_t done = 0; done < count;) {
        const std::uint64_t part = std::min<std::uint64_t>(count - done, buffer->size() / 8);
        std::memset(buffer->data(), 0, buffer->size());
        for (std::uint64_t i = 0; i < part; ++i)
            store_le64(buffer->span(), i, first + (done + i) * step);
        const auto written = buffer->span().first((part * 8 + 4095) / 4096 * 4096);
        QED_CO_CHECK(co_await file.write(FileOffset{at + done * 8}, written));
        done += part;
    }
    co_return {};
}

Task<Result<void>> write_zero_data(BlockFile& file, std::uint64_t at, std::uint64_t end) {
    Result<AlignedBuffer> zeroes = AlignedBuffer::create(kChunkBytes, 4096);
    if (!zeroes) co_return pass(zeroes);
    std::memset(zeroes->data(), 0, zeroes->size());
    while (at < end) {
        const auto part = zeroes->span().first(std::min<std::uint64_t>(end - at, zeroes->size()));
        QED_CO_CHECK(co_await file.write(FileOffset{at}, part));
        at += part.size();
    }
    co_return {};
}

Task<Result<void>> preallocate(BlockFile& file, const Plan& plan, Preallocation how) {
    if (how == Preallocation::off) co_return {};
    const Geometry& geometry = plan.geometry;
    if (how == Preallocation::falloc) {
        auto allocated = co_await file.allocate(FileOffset{0}, plan.file_bytes);
        // Some file systems reserve space only for bytes that are written.
        const bool is_absent = !allocated && allocated.error().code() == Errc::unsupported;
        if (!allocated && !is_absent) co_return pass(allocated);
        if (is_absent) QED_CO_CHECK(co_await write_zero_data(file, plan.data_at, plan.file_bytes));
    } else if (how == Preallocation::full) {
        QED_CO_CHECK(co_await write_zero_data(file, plan.data_at, plan.file_bytes));
    }
    const std::uint64_t clusters = geometry.clusters_for(plan.header.image_bytes);
    const std::uint64_t tables = geometry.l1_entries_used(plan.header.image_bytes);
    // All tables lie side by side, so that their entries are one sequence.
    QED_CO_CHECK(co_await write_entries(file, plan.tables_at, clusters, plan.data_at,
                                        geometry.cluster_bytes()));
    co_return co_await write_entries(file, plan.header.l1_table_offset.value, tables,
                                     plan.tables_at, geometry.table_bytes());
}

Task<Result<void>> write_header_block(BlockFile& file, const Plan& plan) {
    Result<AlignedBuffer> block = AlignedBuffer::create(4096, 4096);
    if (!block) co_return pass(block);
    std::memset(block->data(), 0, block->size());
    const auto encoded = encode_header(plan.header);
    std::copy(encoded.begin(), encoded.end(), block->data());
    const auto name = std::as_bytes(std::span(plan.backing_name));
    std::ranges::copy(name, block->data() + kHeaderBytes);
    co_return co_await file.write(FileOffset{0}, block->span());
}

}  // namespace

Result<void> QedDriver::check_create(const CreateOptions& options) const {
    const Result<Plan> plan = plan_image(options);
    if (!plan) return std::unexpected(plan.error().clone());
    return {};
}

Task<Result<void>> QedDriver::create(BlockFile& file, CreateOptions options) const {
    const Preallocation how = options.preallocation;
    const Result<Plan> plan = plan_image(options);
    if (!plan) co_return std::unexpected(plan.error().clone());
    QED_CO_CHECK(co_await file.truncate(0));
    const Result<std::uint64_t> left = file.size();
    if (!left) co_return std::unexpected(left.error().clone());
    if (*left != 0) {
        co_return fail(
            Errc::unsupported,
            fmt::format("{}: a QED image grows as it fills, but this file has a fixed length "
                        "of {} bytes: use a device for a raw disk only",
                        file.name(), *left));
    }
    QED_CO_CHECK(co_await file.truncate(plan->file_bytes));
    QED_CO_CHECK(co_await preallocate(file, *plan, how));
    QED_CO_CHECK(co_await file.flush());
    QED_CO_CHECK(co_await write_header_block(file, *plan));
    co_return co_await file.flush();
}

}  // namespace qed
