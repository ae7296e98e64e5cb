// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/qed_driver.hpp"

#include "formats/qed/check/check.hpp"
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
                                                     std::span<const std::byte> head,
                                                     BackingOpener& backing,
                                                     OpenOptions options) const {
    Task<Result<HeaderInfo>> reading = head.empty() ? read_header(*file) : read_header(*file, head);
    Result<HeaderInfo> info = co_await reading;
    if (!info) co_return pass(info);
    BackingReference reference = info->backing();
    Result<std::shared_ptr<Layer>> base = co_await backing.open(std::move(reference));
    if (!base) co_return pass(base);
    co_return co_await open_qed(std::move(file), std::move(*info), std::move(*base), options);
}

Task<Result<HeaderSummary>> QedDriver::summarize(BlockFile& file) const {
    Result<HeaderInfo> info = co_await read_header(file);
    if (!info) co_return pass(info);
    HeaderSummary summary;
    summary.backing = info->backing();
    summary.needs_check = info->header.needs_check();
    co_return std::move(summary);
}

Result<std::unique_ptr<SequentialWriter>> QedDriver::stream_writer(
    BlockFile& file, const CreateOptions& image, const WriterOptions& options) const {
    return StreamWriter::create(file, image, image.image_bytes, options);
}

Task<Result<CheckReport>> QedDriver::check(BlockFile& file, CheckOptions options) const {
    return check_qed(file, options);
}

}  // namespace qed
