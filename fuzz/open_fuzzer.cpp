// SPDX-License-Identifier: Apache-2.0
// Any bytes as an image: opening, mapping, reading and writing end with a result or an error.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "image_mutator.hpp"
#include "input_file.hpp"
#include "qed/check.hpp"
#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr int kMaxExtents = 64;

std::unique_ptr<Image> open(std::span<const std::uint8_t> input, bool writable) {
    OpenOptions options;
    options.writable = writable;
    options.lock = LockMode::none;
    auto image = sync_wait(Image::open_file(fuzz::file_of(input), nullptr, options));
    return image ? std::move(*image) : nullptr;
}

void look(Image& image) {
    std::array<std::byte, 9000> buffer{};
    std::uint64_t at = 0;
    for (int i = 0; i < kMaxExtents && at < image.size(); ++i) {
        const auto extent = image.map_blocking({at}, image.size() - at);
        if (!extent) break;
        if (extent->length == 0) __builtin_trap();  // a caller would loop forever
        at += extent->length;
    }
    for (const std::uint64_t from : {std::uint64_t{0}, image.size() / 2, image.size()}) {
        const std::uint64_t length = std::min<std::uint64_t>(buffer.size(), image.size() - from);
        (void)image.read_blocking({from}, std::span(buffer).first(length));
    }
}

/// If two entries name one cluster, or an entry names a table, a write changes other bytes too.
/// Opening does not look for that.
bool is_sound(std::span<const std::uint8_t> input) {
    const auto file = fuzz::file_of(input);
    const auto report = sync_wait(check_file(*file, CheckOptions{}));
    return report && (report->corruptions == 0 || report->was_dirty);
}

void change(Image& image, bool reads_back) {
    std::array<std::byte, 9000> data{};
    data.fill(std::byte{0x5a});
    const std::uint64_t length = std::min<std::uint64_t>(data.size(), image.size());
    for (const std::uint64_t at : {std::uint64_t{0}, (image.size() - length) / 2}) {
        const auto piece = std::span<const std::byte>(data).first(length);
        if (!image.write_blocking({at}, piece)) continue;
        std::array<std::byte, 9000> again{};
        if (!image.read_blocking({at}, std::span(again).first(length))) continue;
        const bool is_same = std::ranges::equal(piece, std::span(again).first(length));
        if (reads_back && !is_same) __builtin_trap();
    }
    (void)image.discard_blocking({0}, image.size() / 2);
    (void)image.flush_blocking();
    (void)image.close();
}

}  // namespace

std::size_t qed::fuzz::image_at() noexcept {
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span input(data, size);
    if (auto image = open(input, /*writable=*/false)) look(*image);
    if (auto image = open(input, /*writable=*/true)) change(*image, is_sound(input));
    return 0;
}
