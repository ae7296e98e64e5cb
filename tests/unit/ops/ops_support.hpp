// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "qed/image.hpp"
#include "support/forwarding_file.hpp"
#include "support/memory_file.hpp"

namespace qed::test {

using Bytes = std::vector<std::byte>;

inline std::unique_ptr<Image> open_raw_disk(MemoryFile& file) {
    return Image::open_raw(std::make_unique<ForwardingFile>(file)).value();
}

inline std::unique_ptr<Image> open_image(MemoryFile& file, std::shared_ptr<Image> backing = nullptr,
                                         bool writable = false) {
    OpenOptions options;
    options.writable = writable;
    auto image =
        sync_wait(Image::open_file(std::make_unique<ForwardingFile>(file), backing, options));
    EXPECT_TRUE(image) << image.error().message();
    return image ? std::move(*image) : nullptr;
}

/// The whole content that a guest sees.
inline Bytes content(Image& image) {
    Bytes bytes(image.size());
    const auto read = image.read_blocking(GuestOffset{0}, bytes);
    EXPECT_TRUE(read) << read.error().message();
    return bytes;
}

/// A disk of data, stored zeroes and holes, deliberately unaligned.
inline void scribble(MemoryFile& file) {
    const std::uint64_t bytes = file.bytes();
    const auto pieces = *rc::gen::inRange(0, 12);
    for (int i = 0; i < pieces; ++i) {
        const auto at = *rc::gen::inRange<std::uint64_t>(0, bytes);
        const auto length =
            std::min(bytes - at, *rc::gen::element<std::uint64_t>(1, 512, 5000, 65536, 300000));
        file.fill(at, length, *rc::gen::element(std::byte{0}, std::byte{1}, std::byte{0xff}));
    }
}

}  // namespace qed::test
