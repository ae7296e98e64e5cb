// SPDX-License-Identifier: Apache-2.0
#include "formats/raw/raw_layer.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 1U << 20;

std::unexpected<Error> only_qed(const BlockFile& file, const char* what) {
    return fail(Errc::unsupported, fmt::format("{}: a raw disk {}", file.name(), what));
}

}  // namespace

Result<std::shared_ptr<Layer>> RawLayer::open(std::unique_ptr<BlockFile> file) {
    const Result<std::uint64_t> bytes = file->size();
    if (!bytes) return std::unexpected(bytes.error().clone());
    LayerTraits traits{.format = kFormat,
                       .bytes = round_up(*bytes, kSectorBytes),
                       .cluster_bytes = 0,
                       .backing = {},
                       .is_writable = !file->is_read_only(),
                       .has_file_holes = true};
    return std::shared_ptr<Layer>(new RawLayer(std::move(file), std::move(traits)));
}

Result<void> RawLayer::check_write(GuestOffset at, std::uint64_t length) const {
    if (!is_writable()) {
        return fail(Errc::read_only, fmt::format("{}: opened read-only", file_->name()));
    }
    return check_range(at, length);
}

Task<Result<void>> RawLayer::write(GuestOffset at, std::span<const std::byte> data,
                                   WriteFlags flags, Mapping) {
    QED_CO_CHECK(check_write(at, data.size()));
    QED_CO_CHECK(co_await file_->write(FileOffset{at.value}, data));
    if (has(flags, WriteFlags::fua)) QED_CO_CHECK(co_await file_->flush());
    co_return {};
}

Result<void> RawLayer::try_write_in_place(GuestOffset at, std::span<const std::byte> data,
                                          Mapping& seen) {
    QED_CHECK(check_write(at, data.size()));
    IoOp op = file_->write(FileOffset{at.value}, data);
    QED_CHECK(op.run_blocking());
    seen = Mapping::in_place(FileOffset{at.value}, data.size());
    return {};
}

Task<Result<void>> RawLayer::write_zeroes(GuestOffset at, std::uint64_t length, WriteFlags flags) {
    QED_CO_CHECK(check_write(at, length));
    if (file_->can_punch() && has(flags, WriteFlags::may_unmap) && length != 0) {
        const Result<void> punched = co_await file_->punch(FileOffset{at.value}, length);
        if (punched && has(flags, WriteFlags::fua)) co_return co_await file_->flush();
        if (punched) co_return {};
        if (punched.error().sys_errno() != EOPNOTSUPP) {
            co_return std::unexpected(punched.error().clone());
        }
    }
    if (has(flags, WriteFlags::no_fallback)) {
        co_return only_qed(*file_, "cannot be zeroed without writing zeroes");
    }
    Result<AlignedBuffer> zeroes = AlignedBuffer::create(std::min(length, kZeroChunkBytes), 4096);
    if (!zeroes) co_return pass(zeroes);
    std::fill_n(zeroes->data(), zeroes->size(), std::byte{0});
    while (length != 0) {
        const auto part = zeroes->span().first(std::min<std::size_t>(length, zeroes->size()));
        QED_CO_CHECK(co_await file_->write(FileOffset{at.value}, part));
        at += part.size();
        length -= part.size();
    }
    if (has(flags, WriteFlags::fua)) QED_CO_CHECK(co_await file_->flush());
    co_return {};
}

Task<Result<void>> RawLayer::discard(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_write(at, length));
    if (!file_->can_punch() || length == 0) co_return {};  // a hint: nothing was promised
    co_return co_await file_->punch(FileOffset{at.value}, length);
}

Task<Result<void>> RawLayer::flush() {
    co_return co_await file_->flush();
}

Task<Result<void>> RawLayer::resize(std::uint64_t, bool) {
    co_return only_qed(*file_, "is resized with truncate or fallocate");
}

Task<Result<void>> RawLayer::set_backing(BackingReference) {
    co_return only_qed(*file_, "has no backing file");
}

Task<Result<void>> RawLayer::quiesce(bool) {
    if (is_writable()) co_return co_await file_->flush();
    co_return {};
}

}  // namespace qed
