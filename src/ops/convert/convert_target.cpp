// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/convert_target.hpp"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "ops/convert/preallocator.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kZeroBufferBytes = 1U << 20U;

/// Calls `write(offset, zeroes)` until `length` bytes are written.
template <class Write>
Result<void> write_zero_bytes(std::uint64_t offset, std::uint64_t length, Write write) {
    const std::vector<std::byte> zeroes(std::min(length, kZeroBufferBytes));
    while (length > 0) {
        const std::span<const std::byte> piece(zeroes.data(),
                                               std::min<std::uint64_t>(length, zeroes.size()));
        QED_CHECK(write(offset, piece));
        offset += piece.size();
        length -= piece.size();
    }
    return {};
}

class RawTarget final : public ConvertTarget {
public:
    RawTarget(BlockFile& file, std::uint64_t bytes, const ConvertOptions& options)
        : file_(file),
          bytes_(bytes),
          allocate_(options.sparse_bytes == 0),
          is_zero_(options.target_is_zero),
          space_(file, options.target_is_zero),
          unit_(std::clamp(options.sparse_bytes, kSectorBytes, kBlockBytes)) {}

    std::uint64_t grain() const noexcept override { return kBlockBytes; }
    std::uint64_t zero_unit() const noexcept override { return unit_; }
    Result<Place> place(std::uint64_t guest, std::uint64_t length) override {
        return Place{guest, length};
    }
    void reserve(const Place& at) noexcept override {
        space_.reserve(FileOffset{at.offset}, at.length);
    }
    Result<void> store(const Place& at, std::span<const std::byte> data) override {
        return file_.write(FileOffset{at.offset}, data).run_blocking();
    }
    Result<void> zero(std::uint64_t guest, std::uint64_t length) override {
        const FileOffset at{guest};
        if (allocate_ && is_zero_) {
            auto done = file_.allocate(at, length).run_blocking();
            if (done || done.error().code() != Errc::unsupported) return done;
        } else if (is_zero_) {
            return {};
        } else if (!allocate_ && file_.can_punch()) {
            auto done = file_.punch(at, length).run_blocking();
            if (done || done.error().code() != Errc::unsupported) return done;
        }
        return write_zero_bytes(guest, length, [this](std::uint64_t offset, auto zeroes) {
            return file_.write(FileOffset{offset}, zeroes).run_blocking();
        });
    }
    Result<void> skip(std::uint64_t, std::uint64_t) override { return {}; }
    BlockFile* shared_file() noexcept override { return &file_; }
    void write_early() noexcept override { begin_writeback(file_); }
    Result<void> finish() override {
        auto size = file_.size();
        if (!size) return pass(size);
        if (*size >= bytes_) return {};
        return file_.truncate(bytes_).run_blocking();
    }

private:
    BlockFile& file_;
    std::uint64_t bytes_;
    bool allocate_;
    bool is_zero_;
    Preallocator space_;
    std::uint64_t unit_;
};

/// Whole clusters are written fastest. But what only some layers of the source hold must be taken
/// at its own size, which is that of sectors where a layer ends: the rest of a cluster is not
/// theirs, and the target fills it up.
std::uint64_t grain_for(const Image& image, const ConvertOptions& options) {
    const bool can_fill =
        image.is_raw() || !image.header().has_backing() || image.backing() != nullptr;
    if (options.copied_layers > 0 && can_fill) return kSectorBytes;
    return image.is_raw() ? kBlockBytes : image.geometry().cluster_bytes();
}

class ImageTarget final : public ConvertTarget {
public:
    ImageTarget(Image& image, const ConvertOptions& options)
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
    void write_early() noexcept override { begin_writeback(image_.file()); }
    Result<void> finish() override { return {}; }

private:
    static constexpr std::uint64_t kUnitBytes = 64U << 10U;
    Image& image_;
    bool allocate_;
    bool is_zero_;
    std::uint64_t grain_;
};

}  // namespace

void begin_writeback(BlockFile& file) noexcept {
    // Fails on what is no file of this machine; it is only a hint.
    if (file.descriptor() >= 0) sync_file_range(file.descriptor(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

std::unique_ptr<ConvertTarget> make_raw_target(BlockFile& file, std::uint64_t bytes,
                                               const ConvertOptions& options) {
    return std::make_unique<RawTarget>(file, bytes, options);
}

std::unique_ptr<ConvertTarget> make_image_target(Image& image, const ConvertOptions& options) {
    return std::make_unique<ImageTarget>(image, options);
}

}  // namespace qed
