// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/header_info.hpp"

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "chain/file_head.hpp"

namespace qed {
namespace {

std::unexpected<Error> failed_in(BlockFile& file, const Error& error) {
    return std::unexpected(error.clone().with_context(file.name()));
}

/// The name of the backing file, which is in `head` unless the header states a later position.
Task<Result<std::string>> read_name(BlockFile& file, std::span<const std::byte> head,
                                    std::uint32_t offset, std::uint32_t length) {
    if (offset < head.size() && length <= head.size() - offset)
        co_return decode_backing_name(head.subspan(offset, length));
    Result<AlignedBuffer> bytes = AlignedBuffer::create(length, kSectorBytes);
    if (!bytes) co_return pass(bytes);
    QED_CO_CHECK(co_await file.read(FileOffset{offset}, bytes->span()));
    co_return decode_backing_name(bytes->span());
}

}  // namespace

Task<Result<HeaderInfo>> read_header(BlockFile& file) {
    const Result<FileHead> head = co_await FileHead::read(file);
    if (!head) co_return std::unexpected(head.error().clone());
    co_return co_await read_header(file, head->bytes());
}

Task<Result<HeaderInfo>> read_header(BlockFile& file, std::span<const std::byte> head) {
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) co_return std::unexpected(file_bytes.error().clone());
    const Result<Header> header = decode_header(head);
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
    Result<std::string> name =
        co_await read_name(file, head, header->backing_name_offset, header->backing_name_bytes);
    if (!name) co_return failed_in(file, name.error());
    info.backing_name = std::move(*name);
    co_return std::move(info);
}

}  // namespace qed
