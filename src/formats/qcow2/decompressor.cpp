// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/decompressor.hpp"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <cstdint>

namespace qed {
namespace {

/// Raw deflate: no header, no checksum. A stream that would give more than a cluster is sound.
class Inflater final : public Decompressor {
public:
    bool decompress(std::span<const std::byte> stored,
                    std::span<std::byte> cluster) noexcept override {
        isal_inflate_init(&state_);
        state_.crc_flag = ISAL_DEFLATE;
        // The library changes no input, but takes it without const.
        state_.next_in =
            const_cast<std::uint8_t*>(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
                reinterpret_cast<const std::uint8_t*>(stored.data()));
        state_.avail_in = static_cast<std::uint32_t>(stored.size());
        state_.next_out = reinterpret_cast<std::uint8_t*>(cluster.data());
        state_.avail_out = static_cast<std::uint32_t>(cluster.size());
        const int answer = isal_inflate_stateless(&state_);
        return (answer == ISAL_DECOMP_OK || answer == ISAL_OUT_OVERFLOW) && state_.avail_out == 0;
    }

private:
    inflate_state state_;  // tens of KiB, which isal_inflate_init() prepares as far as needed
};

/// Frames of zstd one after the other, skippable ones included, which give a cluster exactly.
class Unzstd final : public Decompressor {
public:
    Unzstd() : context_(ZSTD_createDCtx()) {}
    ~Unzstd() override { ZSTD_freeDCtx(context_); }
    bool has_memory() const noexcept { return context_ != nullptr; }

    // Frame by frame into the cluster itself: a window as large as a frame asks for is never made.
    bool decompress(std::span<const std::byte> stored,
                    std::span<std::byte> cluster) noexcept override {
        while (!cluster.empty()) {
            const std::size_t frame = ZSTD_findFrameCompressedSize(stored.data(), stored.size());
            if (ZSTD_isError(frame) != 0 || frame == 0 || frame > stored.size()) return false;
            const std::size_t given =
                ZSTD_decompressDCtx(context_, cluster.data(), cluster.size(), stored.data(), frame);
            if (ZSTD_isError(given) != 0 || given > cluster.size()) return false;
            cluster = cluster.subspan(given);
            stored = stored.subspan(frame);
        }
        return true;
    }

private:
    ZSTD_DCtx* context_;
};

}  // namespace

Result<std::unique_ptr<Decompressor>> Decompressor::make(Qcow2Compression kind) {
    if (kind == Qcow2Compression::deflate) return std::make_unique<Inflater>();
    auto unzstd = std::make_unique<Unzstd>();
    if (!unzstd->has_memory()) return std::unexpected(Error::out_of_memory());
    return unzstd;
}

}  // namespace qed
