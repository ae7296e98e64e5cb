// SPDX-License-Identifier: Apache-2.0
// The order of writes to the file with deferred order.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::FileChange;
using test::MemoryFile;

constexpr std::uint64_t kClusterBytes = 4096;
constexpr std::uint64_t kTableSpan = 512 * kClusterBytes;
constexpr std::uint64_t kL1At = kClusterBytes;

TEST(DeferredOrderTest, DataIsFlushedBeforeItsEntryThoughTheTableWasOnceNew) {
    CreateOptions create;
    create.image_bytes = 100 * kTableSpan;
    create.cluster_bytes = kClusterBytes;
    create.table_clusters = 1;
    auto owned = std::make_unique<MemoryFile>();
    MemoryFile& file = *owned;
    ASSERT_TRUE(sync_wait(Image::format(file, create)).has_value());
    OpenOptions options;
    options.writable = true;
    options.order = WriteOrder::deferred;
    auto opened = sync_wait(Image::open_file(std::move(owned), nullptr, options));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    Image& image = **opened;
    const std::vector<std::byte> data(kClusterBytes, std::byte{0x77});
    // Two new tables, in two sectors of the L1 table: the second is not written.
    ASSERT_TRUE(image.write_blocking({0}, data).has_value());
    ASSERT_TRUE(image.write_blocking({99 * kTableSpan}, data).has_value());
    std::vector<FileChange> history;
    file.history = &history;
    file.requests = 0;
    file.fault = MemoryFile::Fault{.nth = 4, .only = IoKind::write};
    ASSERT_FALSE(image.flush_blocking().has_value());
    file.fault.reset();
    const std::uint64_t table = file.load_u64(kL1At);
    ASSERT_NE(table, 0U) << "the file is meant to name the first table by now";

    history.clear();
    ASSERT_TRUE(image.write_blocking({kClusterBytes}, data).has_value());
    ASSERT_TRUE(image.flush_blocking().has_value());

    const auto is_flush = [](const FileChange& change) { return change.kind == IoKind::flush; };
    const auto names_it = [&](const FileChange& change) {
        return change.kind == IoKind::write && change.offset == table;
    };
    const auto flushed = std::ranges::find_if(history, is_flush);
    const auto named = std::ranges::find_if(history, names_it);
    ASSERT_NE(named, history.end());
    EXPECT_LT(flushed, named);
}

TEST(DeferredOrderTest, RemovingTheBackingFileMakesWritesDurableFirst) {
    CreateOptions create;
    create.image_bytes = kTableSpan;
    create.cluster_bytes = kClusterBytes;
    create.table_clusters = 1;
    create.backing_name = "below";
    create.backing_format = BackingFormat::qed;
    auto owned = std::make_unique<MemoryFile>();
    std::vector<FileChange> history;
    owned->history = &history;
    ASSERT_TRUE(sync_wait(Image::format(*owned, create)).has_value());
    OpenOptions options;
    options.writable = true;
    options.order = WriteOrder::deferred;
    auto image = sync_wait(Image::open_file(std::move(owned), nullptr, options));
    ASSERT_TRUE(image.has_value()) << image.error().message();
    const std::vector<std::byte> data(kClusterBytes, std::byte{0x77});
    history.clear();

    ASSERT_TRUE((*image)->write_blocking({0}, data).has_value());
    ASSERT_TRUE((*image)->set_backing_name_blocking(nullptr, BackingFormat::unstated).has_value());

    const auto is_flush = [](const FileChange& change) { return change.kind == IoKind::flush; };
    const auto is_header = [](const FileChange& change) {
        return change.kind == IoKind::write && change.offset == 0;
    };
    const auto links_table = [](const FileChange& change) {
        return change.kind == IoKind::write && change.offset == kL1At;
    };
    const auto linked = std::ranges::find_if(history, links_table);
    const auto flushed = std::find_if(linked, history.end(), is_flush);
    EXPECT_LT(flushed, std::ranges::find_if(history, is_header));
}

}  // namespace
}  // namespace qed
