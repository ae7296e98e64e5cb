// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/convert_source.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/assert.hpp"

namespace qed {

ConvertSource::ConvertSource(std::span<Image* const> images, const ConvertOptions& options)
    : window_begin_(options.begin) {
    std::uint64_t bytes = 0;
    for (Image* const image : images) {
        parts_.push_back({image, bytes, bytes + image->size()});
        bytes += image->size();
        note_lengths(*image);
    }
    size_ = bytes > window_begin_ ? std::min(bytes - window_begin_, options.length) : 0;
}

void ConvertSource::note_lengths(Image& image) {
    for (Image* layer = &image; layer != nullptr; layer = layer->backing()) {
        if (auto bytes = layer->file().size()) lengths_.push_back({&layer->file(), *bytes});
    }
}

Result<void> ConvertSource::check_lengths() const {
    for (const FileLength& noted : lengths_) {
        auto bytes = noted.file->size();
        if (!bytes) return pass(bytes);
        if (*bytes >= noted.bytes) continue;
        return fail(
            Errc::io_error,
            fmt::format("{}: the file had {} bytes at first and has {} now: another program "
                        "truncated it while it was read; restore it and start again",
                        noted.file->name(), noted.bytes, *bytes));
    }
    return {};
}

const ConvertSource::Part& ConvertSource::part_at(std::uint64_t at) const {
    QED_ASSERT(at < window_begin_ + size_);
    return *std::ranges::find_if(parts_, [at](const Part& part) { return at < part.end; });
}

Result<void> ConvertSource::read(std::uint64_t at, std::span<std::byte> buffer) const {
    const std::uint64_t inside =
        at < size_ ? std::min<std::uint64_t>(buffer.size(), size_ - at) : 0;
    if (inside < buffer.size()) std::memset(buffer.data() + inside, 0, buffer.size() - inside);
    buffer = buffer.first(inside);
    at += window_begin_;
    while (!buffer.empty()) {
        const Part& part = part_at(at);
        const std::size_t length = std::min<std::uint64_t>(buffer.size(), part.end - at);
        QED_CHECK(part.image->read_blocking(GuestOffset{at - part.begin}, buffer.first(length)));
        at += length;
        buffer = buffer.subspan(length);
    }
    return {};
}

Result<ChainMapping> ConvertSource::mapping_at(std::uint64_t at, std::uint64_t length,
                                               unsigned layers) const {
    at += window_begin_;
    const Part& part = part_at(at);
    length = std::min(length, part.end - at);
    if (layers > 0) return top_mapping(*part.image, at - part.begin, length, layers);
    auto where = disk_mapping(*part.image, at - part.begin, length);
    if (where && where->mapping.kind == Mapping::Kind::unallocated) {
        where->mapping.kind = Mapping::Kind::zero;  // of the whole chain
    }
    return where;
}

}  // namespace qed
