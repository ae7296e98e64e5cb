// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/header_store.hpp"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/qed/header_info.hpp"
#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::FileChange;
using test::MemoryFile;

/// The header of a new image over "base.raw", as a HeaderStore keeps it.
class HeaderStoreTest : public testing::Test {
protected:
    HeaderStoreTest() {
        CreateOptions create;
        create.image_bytes = 1U << 20;
        create.backing_name = "base.raw";
        create.backing_format = BackingFormat::raw;
        EXPECT_TRUE(sync_wait(Image::format(file_, create)));
        store_ = std::make_unique<HeaderStore>(file_, flushes_, read()->header);
        file_.history = &history_;
    }
    /// What the file says now.
    Result<HeaderInfo> read() { return sync_wait(read_header(file_)); }
    /// What was done to the file: w for a write, f for a flush.
    std::string steps() const {
        std::string letters;
        for (const FileChange& change : history_)
            letters += change.kind == IoKind::flush ? 'f' : 'w';
        return letters;
    }
    void fail(IoKind kind) {
        file_.requests = 0;
        file_.fault = MemoryFile::Fault{.nth = 1, .only = kind};
    }

    MemoryFile file_;
    FlushGroup flushes_{file_};
    std::vector<FileChange> history_;
    std::unique_ptr<HeaderStore> store_;
};

TEST_F(HeaderStoreTest, TheMarkIsDurableWhenSettingItHasSucceeded) {
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    EXPECT_TRUE(store_->is_dirty());
    EXPECT_EQ(steps(), "wf");
    EXPECT_TRUE(read()->header.needs_check());
}

TEST_F(HeaderStoreTest, AMarkThatIsSetIsNotSetAgain) {
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    history_.clear();
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    EXPECT_EQ(steps(), "");
}

TEST_F(HeaderStoreTest, AMarkWhoseFlushFailedIsNotReliedOn) {
    fail(IoKind::flush);
    EXPECT_FALSE(sync_wait(store_->set_dirty()));
    EXPECT_FALSE(store_->is_dirty());
}

TEST_F(HeaderStoreTest, AMarkWhoseWriteFailedIsNotReliedOn) {
    fail(IoKind::write);
    EXPECT_FALSE(sync_wait(store_->set_dirty()));
    EXPECT_FALSE(store_->is_dirty());
    EXPECT_FALSE(store_->header().needs_check());
}

TEST_F(HeaderStoreTest, ClearingFlushesBeforeAndAfterTheHeader) {
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    history_.clear();
    ASSERT_TRUE(sync_wait(store_->clear_dirty()));
    EXPECT_EQ(steps(), "fwf");
    EXPECT_FALSE(store_->is_dirty());
    EXPECT_FALSE(read()->header.needs_check());
}

TEST_F(HeaderStoreTest, AFailedFlushKeepsTheMark) {
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    fail(IoKind::flush);
    EXPECT_FALSE(sync_wait(store_->clear_dirty()));
    EXPECT_TRUE(store_->is_dirty());
    EXPECT_TRUE(read()->header.needs_check());
}

TEST_F(HeaderStoreTest, AFailedWriteOfTheClearedHeaderIsNotReliedOn) {
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    fail(IoKind::write);
    EXPECT_FALSE(sync_wait(store_->clear_dirty()));
    EXPECT_FALSE(store_->is_dirty()) << "the next entry has to set the mark again";
    ASSERT_TRUE(sync_wait(store_->set_dirty()));
    EXPECT_TRUE(read()->header.needs_check());
}

TEST_F(HeaderStoreTest, ReplacingKeepsTheNameThatFollowsTheFields) {
    Header changed = store_->header();
    changed.image_bytes = 2U << 20;
    ASSERT_TRUE(sync_wait(store_->replace(changed)));
    EXPECT_EQ(store_->header().image_bytes, 2U << 20);
    EXPECT_EQ(read()->header.image_bytes, 2U << 20);
    EXPECT_EQ(read()->backing_name, "base.raw");
}

TEST_F(HeaderStoreTest, AFailedReplacementKeepsTheHeader) {
    Header changed = store_->header();
    changed.image_bytes = 2U << 20;
    fail(IoKind::write);
    EXPECT_FALSE(sync_wait(store_->replace(changed)));
    EXPECT_EQ(store_->header().image_bytes, 1U << 20);
}

TEST_F(HeaderStoreTest, NewNameIsDurableNextToTheOldOneBeforeTheHeaderPointsToIt) {
    ASSERT_TRUE(sync_wait(store_->replace_backing("other.qed", false)));
    EXPECT_EQ(steps(), "wfwf");
    const Result<HeaderInfo> now = read();
    EXPECT_EQ(now->backing_name, "other.qed");
    EXPECT_FALSE(now->header.backing_is_raw());

    // A power cut before the second write: the old header finds the old name.
    MemoryFile cut(file_);
    ASSERT_GE(history_.size(), 3U);
    Header old = now->header;
    old.backing_name_offset = kHeaderBytes;
    old.backing_name_bytes = 8;
    const auto encoded = encode_header(old);
    cut.store(0, encoded);
    EXPECT_EQ(sync_wait(read_header(cut))->backing_name, "base.raw");
}

TEST_F(HeaderStoreTest, AnEmptyNameRemovesTheBackingFile) {
    ASSERT_TRUE(sync_wait(store_->replace_backing("", false)));
    EXPECT_FALSE(store_->has_backing());
    EXPECT_EQ(read()->backing_name, "");
    EXPECT_FALSE(read()->header.has_backing());
}

TEST_F(HeaderStoreTest, ANameThatIsTooLongIsRefused) {
    const auto done =
        sync_wait(store_->replace_backing(std::string(kMaxBackingNameBytes + 1, 'x'), true));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::invalid_argument);
    EXPECT_EQ(steps(), "");
}

}  // namespace
}  // namespace qed
