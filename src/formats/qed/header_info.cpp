// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/header_info.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"

namespace qed {
namespace {

constexpr std::size_t kBlockBytes = 4096;

std::unexpected<Error> failed_in(BlockFile& file, const Error& error) {
    return std::unexpected(error.clone().with_context(file.name()));
}

}  // namespace

Task<Result<HeaderInfo>> read_header(BlockFile& file) {
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) co_return std::unexpected(file_bytes.error().clone());
    Result<AlignedBuffer> block = AlignedBuffer::create(kBlockBytes, kBlockBytes);
    if (!block) co_return pass(block);
    QED_CO_CHECK(co_await file.read(FileOffset{0}, block->span()));
    // Bytes past the end of a short file read as zeroes, and are no header.
    const std::size_t inside = std::min<std::uint64_t>(*file_bytes, block->size());
    const Result<Header> header = decode_header(block->span().first(inside));
    if (!header) co_return failed_in(file, header.error());
    const Result<Geometry> geometry = validate_header(*header, *file_bytes);
    if (!geometry) co_return failed_in(file, geometry.error());

    HeaderInfo info{
        .header = *header, .geometry = *geometry, .backing_name = {}, .file_bytes = *file_bytes};
    if (!header->has_backing()) co_return std::move(info);
    if (header->backing_name_bytes > kMaxBackingNameBytes) {
        co_return fail(Errc::corrupt_metadata,
                       fmt::format("{}: the backing file's name is {} bytes long, expected at "
                                   "most {}",
                                   file.name(), header->backing_name_bytes, kMaxBackingNameBytes));
    }
    const auto name_bytes = block->span().first(header->backing_name_bytes);
    QED_CO_CHECK(co_await file.read(FileOffset{header->backing_name_offset}, name_bytes));
    Result<std::string> name = decode_backing_name(name_bytes);
    if (!name) co_return failed_in(file, name.error());
    info.backing_name = std::move(*name);
    co_return std::move(info);
}

}  // namespace qed
