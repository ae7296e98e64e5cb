// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/raw_driver.hpp"

#include "formats/raw/raw_layer.hpp"
#include "formats/raw/raw_writer.hpp"

namespace qed {

std::string_view RawDriver::name() const noexcept {
    return RawLayer::kFormat;
}

Task<Result<std::shared_ptr<Layer>>> RawDriver::open(std::unique_ptr<BlockFile> file,
                                                     std::span<const std::byte>, BackingOpener&,
                                                     OpenOptions) const {
    co_return RawLayer::open(std::move(file));
}

Result<std::unique_ptr<SequentialWriter>> RawDriver::stream_writer(
    BlockFile& file, const CreateOptions& image, const WriterOptions& options) const {
    return make_raw_writer(file, image.image_bytes, options);
}

}  // namespace qed
