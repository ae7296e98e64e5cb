// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/compressed_clusters.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "formats/qcow2/big_endian.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kPoolBytes = 4U << 20;
constexpr std::size_t kKeptDecompressors = 8;

}  // namespace

CompressedClusters::CompressedClusters(BlockFile& file, const Qcow2Header& header,
                                       const MappingCache& tables, const Qcow2EntryDecoder& decoder)
    : file_(file),
      tables_(tables),
      decoder_(decoder),
      compression_(header.compression),
      cluster_bytes_(header.cluster_bytes()),
      table_span_(header.table_span()),
      entry_bytes_(header.l2_entry_bytes()),
      pool_(header.cluster_bytes(), kPoolBytes) {
    decompressors_.reserve(kKeptDecompressors);
}

Task<Result<void>> CompressedClusters::read(GuestOffset at, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
        const std::uint64_t left = cluster_bytes_ - at.value % cluster_bytes_;
        const auto part = buffer.first(std::min<std::uint64_t>(left, buffer.size()));
        QED_CO_CHECK(co_await read_part(at, part));
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

// A whole cluster goes where the caller wants it: one who reads so does not come back.
Task<Result<void>> CompressedClusters::read_part(GuestOffset at, std::span<std::byte> part) {
    const Result<CompressedPlace> place = co_await find_place(at);
    if (!place) co_return std::unexpected(place.error().clone());
    const std::uint64_t inside = at.value % cluster_bytes_;
    ClusterPool::Cluster cluster = pool_.find(place->offset);
    if (cluster == nullptr && part.size() == cluster_bytes_) {
        co_return co_await decompress(*place, at, part);
    }
    if (cluster == nullptr) {
        Result<AlignedBuffer> made = AlignedBuffer::create(cluster_bytes_, 64);
        if (!made) co_return pass(made);
        QED_CO_CHECK(co_await decompress(*place, at, made->span()));
        cluster = std::make_shared<const AlignedBuffer>(std::move(*made));
        pool_.add(place->offset, cluster);
    }
    std::memcpy(part.data(), cluster->data() + inside, part.size());
    co_return {};
}

Task<Result<CompressedPlace>> CompressedClusters::find_place(GuestOffset at) {
    const Entry table = tables_.l1(at.value / table_span_);
    std::array<std::byte, 8> raw{};
    if (is_data_entry(table)) {
        const std::uint64_t index = at.value % table_span_ / cluster_bytes_;
        QED_CO_CHECK(co_await file_.read(FileOffset{table + index * entry_bytes_}, raw));
    }
    const auto entry = load_be<std::uint64_t>(raw, 0);
    if ((entry & Qcow2EntryDecoder::kCompressed) == 0) {
        co_return fail(Errc::corrupt_metadata,
                       fmt::format("{}: the L2 entry of guest offset {:#x} is {:#x}, expected a "
                                   "compressed cluster: another process changed the image",
                                   file_.name(), at.value, entry));
    }
    co_return decoder_.compressed_place(entry);
}

Task<Result<void>> CompressedClusters::decompress(CompressedPlace place, GuestOffset at,
                                                  std::span<std::byte> cluster) {
    Result<AlignedBuffer> stored = AlignedBuffer::create(place.length, 64);
    if (!stored) co_return pass(stored);
    QED_CO_CHECK(co_await file_.read(FileOffset{place.offset}, stored->span()));
    Result<std::unique_ptr<Decompressor>> decompressor = take_decompressor();
    if (!decompressor)
        co_return std::unexpected(std::move(decompressor.error()).with_context(file_.name()));
    const bool is_sound = (*decompressor)->decompress(stored->span(), cluster);
    give_back(std::move(*decompressor));
    if (is_sound) co_return {};
    co_return fail(
        Errc::io_error,
        fmt::format("{}: the compressed cluster of guest offset {:#x}, {} bytes at {:#x} "
                    "of the file, is damaged: expected {} bytes of {} data",
                    file_.name(), at.value - at.value % cluster_bytes_, place.length, place.offset,
                    cluster_bytes_, compression_ == Qcow2Compression::zstd ? "zstd" : "deflate"),
        EIO);
}

Result<std::unique_ptr<Decompressor>> CompressedClusters::take_decompressor() {
    {
        const ScopedLock lock(mutex_);
        if (!decompressors_.empty()) {
            std::unique_ptr<Decompressor> kept = std::move(decompressors_.back());
            decompressors_.pop_back();
            return kept;
        }
    }
    return Decompressor::make(compression_);
}

void CompressedClusters::give_back(std::unique_ptr<Decompressor> decompressor) noexcept {
    const ScopedLock lock(mutex_);
    if (decompressors_.size() < kKeptDecompressors) {
        decompressors_.push_back(std::move(decompressor));  // within what is reserved
    }
}

}  // namespace qed
