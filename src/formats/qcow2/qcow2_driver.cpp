// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_driver.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "formats/qcow2/qcow2_layer.hpp"

namespace qed {
namespace {

constexpr std::size_t kHeadBytes = std::size_t{1} << kQcow2MaxClusterBits;

/// Reads no more than the first cluster, which is at most 2 MiB.
Task<Result<Qcow2Header>> read_header(BlockFile& file) {
    constexpr std::size_t kFirstRead = 64U << 10;
    const Result<std::uint64_t> size = file.size();
    if (!size) co_return std::unexpected(size.error().clone());
    const std::uint64_t file_bytes = *size;
    Result<AlignedBuffer> head =
        AlignedBuffer::create(std::min<std::uint64_t>(file_bytes, kFirstRead), 4096);
    if (!head) co_return pass(head);
    QED_CO_CHECK(co_await file.read(FileOffset{0}, head->span()));
    Result<Qcow2Header> header = decode_qcow2_header(head->span(), file_bytes);
    // Extensions and the name may lie further behind in a large cluster.
    if (!header && file_bytes > kFirstRead) {
        Result<AlignedBuffer> whole =
            AlignedBuffer::create(std::min<std::uint64_t>(file_bytes, kHeadBytes), 4096);
        if (!whole) co_return pass(whole);
        QED_CO_CHECK(co_await file.read(FileOffset{0}, whole->span()));
        header = decode_qcow2_header(whole->span(), file_bytes);
    }
    if (!header) co_return std::unexpected(std::move(header.error()).with_context(file.name()));
    co_return header;
}

Result<void> check_readable(const Qcow2Header& header, const BlockFile& file) {
    const auto refuse = [&](std::string_view what) {
        return fail(Errc::unsupported_feature, fmt::format("{}: {}", file.name(), what));
    };
    if (header.encryption != 0) {
        return refuse(
            header.encryption == 1
                ? "the image is encrypted (AES), which cannot be read; 'qemu-img convert' "
                  "makes a copy that can"
                : "the image is encrypted (LUKS), which cannot be read; 'qemu-img "
                  "convert' makes a copy that can");
    }
    if (header.has(Qcow2Incompatible::external_data)) {
        return refuse(
            fmt::format("the image keeps its data in another file ('{}'), which cannot be "
                        "read; 'qemu-img convert' makes a copy that can",
                        printable(header.data_file)));
    }
    return {};
}

Result<void> check_backing_format(const Qcow2Header& header, const BlockFile& file) {
    const std::string_view format = header.backing_format;
    if (header.backing_name.empty() || format.empty()) return {};
    if (format == "raw" || format == "qcow2" || format == "qed") return {};
    return fail(Errc::backing_refused,
                fmt::format("{}: the backing file '{}' has the format '{}', expected raw, qed or "
                            "qcow2",
                            file.name(), printable(header.backing_name), printable(format)));
}

}  // namespace

std::string_view Qcow2Driver::name() const noexcept {
    return Qcow2Layer::kFormat;
}

bool Qcow2Driver::probe(std::span<const std::byte> head) const noexcept {
    return has_qcow2_magic(head);
}

Task<Result<std::shared_ptr<Layer>>> Qcow2Driver::open(std::unique_ptr<BlockFile> file,
                                                       std::span<const std::byte>,
                                                       BackingOpener& backing,
                                                       OpenOptions options) const {
    if (options.writable) {
        co_return fail(Errc::unsupported,
                       fmt::format("{}: qcow2 images are only read; write into a clone of it: qed "
                                   "clone -F qcow2 '{}' CLONE",
                                   file->name(), file->name()));
    }
    Result<Qcow2Header> header = co_await read_header(*file);
    if (!header) co_return pass(header);
    QED_CO_CHECK(check_readable(*header, *file));
    if (options.open_backing) QED_CO_CHECK(check_backing_format(*header, *file));
    BackingReference reference = header->backing();
    Result<std::shared_ptr<Layer>> base = co_await backing.open(std::move(reference));
    if (!base) co_return pass(base);
    Result<std::unique_ptr<Qcow2Tables>> tables =
        co_await Qcow2Tables::open(*file, *header, options);
    if (!tables) co_return pass(tables);
    std::shared_ptr<Layer> layer = std::make_shared<Qcow2Layer>(
        std::move(file), std::move(*header), std::move(*tables), std::move(*base));
    co_return std::move(layer);
}

// An image that is marked dirty has refcounts that are too low, which no reader minds.
Task<Result<HeaderSummary>> Qcow2Driver::summarize(BlockFile& file) const {
    Result<Qcow2Header> header = co_await read_header(file);
    if (!header) co_return pass(header);
    HeaderSummary summary;
    summary.backing = header->backing();
    co_return std::move(summary);
}

}  // namespace qed
