// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/image_writer.hpp"

#include <algorithm>

#include "io/write_zero_bytes.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;

/// Whole clusters are written fastest. But if only some layers of the source are copied, their
/// ranges must be copied at their own size, which is that of sectors at the end of a layer: the
/// rest of the cluster belongs to other layers, and the target adds it.
std::uint64_t grain_for(const Image& image, const ConvertOptions& options) {
    const LayerInfo info = image.info();
    const bool can_fill = !info.has_backing() || image.backing() != nullptr;
    if (options.copied_layers > 0 && can_fill) return kSectorBytes;
    return info.cluster_bytes != 0 ? info.cluster_bytes : kBlockBytes;
}

class ImageWriter final : public SequentialWriter {
public:
    ImageWriter(Image& image, const ConvertOptions& options)
        : image_(image),
          allocate_(options.sparse_bytes == 0),
          is_zero_(options.target_is_zero),
          grain_(grain_for(image, options)) {}

    std::uint64_t grain() const noexcept override { return grain_; }
    std::uint64_t zero_unit() const noexcept override {
        return std::clamp(grain_, kBlockBytes, kUnitBytes);
    }
    Result<Place> place(std::uint64_t guest, std::uint64_t length) override {
        return Place{guest, length};
    }
    Result<void> store(const Place& at, std::span<const std::byte> data) override {
        return image_.write_blocking(GuestOffset{at.offset}, data);
    }
    Result<void> zero(std::uint64_t guest, std::uint64_t length) override {
        if (allocate_) {
            return write_zero_bytes(guest, length, [this](std::uint64_t offset, auto zeroes) {
                return image_.write_blocking(GuestOffset{offset}, zeroes);
            });
        }
        if (is_zero_) return {};
        return image_.write_zeroes_blocking(GuestOffset{guest}, length, WriteFlags::may_unmap);
    }
    Result<void> skip(std::uint64_t, std::uint64_t) override { return {}; }
    void write_early() noexcept override { image_.file().start_writeback(); }
    Result<void> finish() override { return {}; }

private:
    static constexpr std::uint64_t kUnitBytes = 64U << 10U;
    Image& image_;
    bool allocate_;
    bool is_zero_;
    std::uint64_t grain_;
};

}  // namespace

std::unique_ptr<SequentialWriter> make_image_writer(Image& image, const ConvertOptions& options) {
    return std::make_unique<ImageWriter>(image, options);
}

}  // namespace qed
