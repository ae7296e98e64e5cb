// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/raw_writer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "io/preallocator.hpp"
#include "io/write_zero_bytes.hpp"
#include "qed/units.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kBlockBytes = 4096;

class RawWriter final : public SequentialWriter {
public:
    RawWriter(BlockFile& file, std::uint64_t bytes, const WriterOptions& options)
        : file_(file),
          bytes_(bytes),
          allocate_(options.allocates_zeroes),
          is_zero_(options.file_is_zero),
          space_(file, options.file_is_zero),
          unit_(std::clamp(options.zero_unit, kSectorBytes, kBlockBytes)) {}

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
    void write_early() noexcept override { file_.start_writeback(); }
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

}  // namespace

std::unique_ptr<SequentialWriter> make_raw_writer(BlockFile& file, std::uint64_t bytes,
                                                  const WriterOptions& options) {
    return std::make_unique<RawWriter>(file, bytes, options);
}

}  // namespace qed
