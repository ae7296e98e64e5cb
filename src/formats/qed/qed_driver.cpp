// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/qed_driver.hpp"

#include "formats/qed/header_info.hpp"
#include "formats/qed/layer.hpp"
#include "formats/qed/open.hpp"
#include "formats/qed/stream_writer.hpp"

namespace qed {

std::string_view QedDriver::name() const noexcept {
    return QedLayer::kFormat;
}

bool QedDriver::probe(std::span<const std::byte> head) const noexcept {
    return head.size() >= kHeaderBytes && decode_header(head).has_value();
}

Task<Result<std::shared_ptr<Layer>>> QedDriver::open(std::unique_ptr<BlockFile> file,
                                                     BackingOpener& backing,
                                                     OpenOptions options) const {
    Result<HeaderInfo> info = co_await read_header(*file);
    if (!info) co_return pass(info);
    BackingReference reference = info->backing();
    Result<std::shared_ptr<Layer>> base = co_await backing.open(std::move(reference));
    if (!base) co_return pass(base);
    co_return co_await open_qed(std::move(file), std::move(*info), std::move(*base), options);
}

Result<std::unique_ptr<SequentialWriter>> QedDriver::stream_writer(
    BlockFile& file, const CreateOptions& image, const WriterOptions& options) const {
    return StreamWriter::create(file, image, image.image_bytes, options);
}

}  // namespace qed
