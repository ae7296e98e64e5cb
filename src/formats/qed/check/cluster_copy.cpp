// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/cluster_copy.hpp"

#include <algorithm>
#include <cstring>

namespace qed {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

}  // namespace

Result<ClusterCopy> ClusterCopy::create(BlockFile& file) {
    const std::size_t alignment = std::max<std::size_t>(file.alignment().memory, 64);
    Result<AlignedBuffer> buffer = AlignedBuffer::create(kBufferBytes, alignment);
    if (!buffer) return pass(buffer);
    return ClusterCopy(file, std::move(*buffer));
}

Task<Result<bool>> ClusterCopy::copy(FileOffset from, FileOffset to, std::uint64_t bytes) {
    QED_CO_CHECK(co_await make_room(to.value + bytes));
    const std::uint64_t end = from.value + bytes;
    while (from.value < end) {
        Result<BlockFile::DataRange> found = file_->next_data(from.value);
        const BlockFile::DataRange data = found ? *found : BlockFile::DataRange{from.value, end};
        const std::uint64_t hole_end = std::clamp(data.begin, from.value, end);
        if (hole_end > from.value) {
            QED_CO_CHECK(co_await clear(to, hole_end - from.value));
            to += hole_end - from.value;
            from = {hole_end};
        }
        if (from.value == end) break;
        const std::uint64_t data_end = std::clamp(data.end, from.value + 1, end);
        Result<bool> copied = co_await copy_data(from, to, data_end - from.value);
        if (!copied || !*copied) co_return copied;
        to += data_end - from.value;
        from = {data_end};
    }
    co_return true;
}

Task<Result<void>> ClusterCopy::make_room(std::uint64_t end) {
    Result<std::uint64_t> file_bytes = file_->size();
    if (!file_bytes) co_return pass(file_bytes);
    if (end <= *file_bytes) co_return {};
    co_return co_await file_->truncate(end);
}

Task<Result<void>> ClusterCopy::clear(FileOffset at, std::uint64_t bytes) {
    if (file_->can_punch()) co_return co_await file_->punch(at, bytes);
    std::memset(buffer_.data(), 0, std::min<std::uint64_t>(bytes, buffer_.size()));
    while (bytes > 0) {
        const std::size_t now = std::min<std::uint64_t>(bytes, buffer_.size());
        QED_CO_CHECK(co_await file_->write(at, buffer_.span().first(now)));
        at += now;
        bytes -= now;
    }
    co_return {};
}

Task<Result<bool>> ClusterCopy::copy_data(FileOffset from, FileOffset to, std::uint64_t bytes) {
    while (bytes > 0) {
        const auto part = buffer_.span().first(std::min<std::uint64_t>(bytes, buffer_.size()));
        Result<void> read = co_await file_->read(from, part);
        if (!read) co_return false;
        QED_CO_CHECK(co_await file_->write(to, part));
        from += part.size();
        to += part.size();
        bytes -= part.size();
    }
    co_return true;
}

Result<CopySpace> CopySpace::create(std::uint64_t file_bytes, const Geometry& geometry,
                                    const ClusterSet& beyond) {
    const std::uint64_t clusters = geometry.clusters_for(file_bytes);
    // The clusters are consecutive, so the limit of the file's growth limits the memory.
    constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
    Result<ClusterSet> taken =
        ClusterSet::create(clusters + repair_growth_clusters(file_bytes, geometry), kNoLimit);
    if (!taken) return pass(taken);
    return CopySpace(clusters, geometry.cluster_bits(), beyond, std::move(*taken));
}

std::optional<FileOffset> CopySpace::take(std::uint64_t clusters) {
    std::uint64_t first = next_;
    for (std::uint64_t end = first; end < first + clusters; ++end) {
        if (end >= taken_.bound()) return std::nullopt;
        if (end < beyond_->bound() && beyond_->contains(end)) first = end + 1;
    }
    taken_.insert_run(first, clusters, [](std::uint64_t) {});
    if (taken_.lack() != ClusterSet::MissingTable::none)
        return std::nullopt;  // could not be recorded
    next_ = first + clusters;
    return FileOffset{first << cluster_bits_};
}

}  // namespace qed
