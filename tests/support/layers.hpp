// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed::test {

/// The file of an empty image with clusters of 4 KiB, over a backing file or not.
inline std::unique_ptr<MemoryFile> make_layer(std::uint64_t bytes, bool has_backing) {
    CreateOptions create;
    create.image_bytes = bytes;
    create.cluster_bytes = 4096;
    if (has_backing) {
        create.backing_name = "below";
        create.backing_format = BackingFormat::qed;
    }
    auto file = std::make_unique<MemoryFile>();
    EXPECT_TRUE(sync_wait(Image::format(*file, create)).has_value());
    return file;
}

inline std::unique_ptr<Image> open_layer(std::unique_ptr<MemoryFile> file,
                                         std::shared_ptr<Image> below, bool writable = true) {
    OpenOptions options;
    options.writable = writable;
    auto image = sync_wait(Image::open_file(std::move(file), std::move(below), options));
    EXPECT_TRUE(image.has_value()) << image.error().message();
    return std::move(*image);
}

}  // namespace qed::test
