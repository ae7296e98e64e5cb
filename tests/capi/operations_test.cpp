// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/qed.h"
#include "support/temp_dir.hpp"

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

bool stop(void* context, std::uint64_t /*done*/, std::uint64_t /*total*/) {
    ++*static_cast<int*>(context);
    return false;
}

/// golden.qed, with a byte 1 at its start, and overlays of it.
class COperationsTest : public ::testing::Test {
protected:
    void SetUp() override {
        create("golden.qed", nullptr);
        put("golden.qed", 1);
        create("top.qed", "golden.qed");
    }

    std::string path(const std::string& name) const { return folder_.file(name); }

    void create(const std::string& name, const char* backing) {
        qed_create_options options{};
        options.struct_bytes = sizeof options;
        options.image_bytes = backing == nullptr ? 1 << 20 : 0;
        options.backing_name = backing;
        options.backing_format = QED_FORMAT_QED;
        expect_ok(qed_create(path(name).c_str(), &options, &error_));
    }
    void put(const std::string& name, char byte) {
        qed_open_options options{};
        options.struct_bytes = sizeof options;
        options.writable = true;
        qed_image* image = nullptr;
        expect_ok(qed_open(path(name).c_str(), &options, &image, &error_));
        expect_ok(qed_write(image, 0, &byte, 1, 0, &error_));
        expect_ok(qed_close(image, &error_));
    }
    int first_byte(const std::string& name) {
        qed_image* image = nullptr;
        char byte = 0;
        expect_ok(qed_open(path(name).c_str(), nullptr, &image, &error_));
        expect_ok(qed_read(image, 0, &byte, 1, &error_));
        expect_ok(qed_close(image, &error_));
        return byte;
    }
    std::string backing_of(const std::string& name) {
        qed_image* image = nullptr;
        std::array<char, 1024> backing{};
        expect_ok(qed_open(path(name).c_str(), nullptr, &image, &error_));
        expect_ok(qed_backing_name(image, backing.data(), backing.size(), &error_));
        expect_ok(qed_close(image, &error_));
        return backing.data();
    }
    void expect_ok(int code) { ASSERT_EQ(code, QED_OK) << error_.message; }

    qed::test::TempDir folder_;
    qed_error error_{};
};

TEST_F(COperationsTest, CommitWritesIntoTheBackingFile) {
    put("top.qed", 2);
    expect_ok(qed_commit(path("top.qed").c_str(), nullptr, &error_));
    EXPECT_EQ(first_byte("golden.qed"), 2);
    EXPECT_EQ(first_byte("top.qed"), 2);
}

TEST_F(COperationsTest, CommitReachesALowerLayer) {
    create("over.qed", "top.qed");
    put("over.qed", 3);
    const std::string base = path("golden.qed");
    qed_commit_options options{};
    options.struct_bytes = sizeof options;
    options.base = base.c_str();
    expect_ok(qed_commit(path("over.qed").c_str(), &options, &error_));
    EXPECT_EQ(first_byte("golden.qed"), 3);
}

TEST_F(COperationsTest, CommitWithoutABackingFileIsRefused) {
    EXPECT_EQ(qed_commit(path("golden.qed").c_str(), nullptr, &error_), QED_INVALID_ARGUMENT);
}

TEST_F(COperationsTest, SnapshotFreezesAndRevertGoesBack) {
    put("top.qed", 2);
    const std::string monday = path("monday.qed");
    expect_ok(qed_snapshot(path("top.qed").c_str(), monday.c_str(), nullptr, &error_));
    EXPECT_EQ(backing_of("top.qed"), "monday.qed");
    put("top.qed", 3);
    expect_ok(qed_snapshot_revert(path("top.qed").c_str(), &error_));
    EXPECT_EQ(first_byte("top.qed"), 2);
}

TEST_F(COperationsTest, SnapshotReplacesNoFileAndNotItsOwnBase) {
    create("other.qed", "golden.qed");
    EXPECT_EQ(qed_snapshot(path("top.qed").c_str(), path("other.qed").c_str(), nullptr, &error_),
              QED_ALREADY_EXISTS);
    EXPECT_EQ(qed_snapshot(path("top.qed").c_str(), path("golden.qed").c_str(), nullptr, &error_),
              QED_INVALID_ARGUMENT);
}

TEST_F(COperationsTest, CloneMakesOverlays) {
    const std::string one = path("one.qed");
    const std::string two = path("two.qed");
    const std::array<const char*, 2> names = {one.c_str(), two.c_str()};
    const std::string base = path("golden.qed");
    expect_ok(qed_clone(base.c_str(), names.data(), names.size(), nullptr, &error_));
    EXPECT_EQ(first_byte("one.qed"), 1);
    EXPECT_EQ(backing_of("two.qed"), "golden.qed");
    EXPECT_EQ(qed_clone(base.c_str(), names.data(), names.size(), nullptr, &error_),
              QED_ALREADY_EXISTS);
}

TEST_F(COperationsTest, CloneStopsOnRequestAfterAWholeClone) {
    const std::string one = path("one.qed");
    const std::string two = path("two.qed");
    const std::array<const char*, 2> names = {one.c_str(), two.c_str()};
    int calls = 0;
    qed_clone_options options{};
    options.struct_bytes = sizeof options;
    options.progress = stop;
    options.progress_context = &calls;
    EXPECT_EQ(qed_clone(path("golden.qed").c_str(), names.data(), names.size(), &options, &error_),
              QED_CANCELLED);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(first_byte("one.qed"), 1);
    EXPECT_FALSE(std::filesystem::exists(two));
}

TEST_F(COperationsTest, RebaseKeepsWhatTheGuestSees) {
    create("other.qed", nullptr);
    qed_rebase_options options{};
    options.struct_bytes = sizeof options;
    EXPECT_EQ(qed_rebase(path("top.qed").c_str(), "other.qed", &options, &error_),
              QED_INVALID_ARGUMENT);
    EXPECT_THAT(error_.message, HasSubstr("options.format"));
    options.format = QED_FORMAT_QED;
    expect_ok(qed_rebase(path("top.qed").c_str(), "other.qed", &options, &error_));
    EXPECT_EQ(backing_of("top.qed"), "other.qed");
    EXPECT_EQ(first_byte("top.qed"), 1);
    expect_ok(qed_rebase(path("top.qed").c_str(), nullptr, nullptr, &error_));
    EXPECT_EQ(backing_of("top.qed"), "");
    EXPECT_EQ(first_byte("top.qed"), 1);
}

TEST_F(COperationsTest, RebaseRefusesALoop) {
    qed_rebase_options options{};
    options.struct_bytes = sizeof options;
    options.format = QED_FORMAT_QED;
    options.change_name_only = true;
    EXPECT_EQ(qed_rebase(path("golden.qed").c_str(), "top.qed", &options, &error_),
              QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_rebase(path("top.qed").c_str(), "top.qed", &options, &error_),
              QED_INVALID_ARGUMENT);
}

TEST_F(COperationsTest, BackingDepthIsALimitForTheNewAndForTheOpenedChain) {
    create("over.qed", "top.qed");
    const std::string one = path("one.qed");
    const std::array<const char*, 1> names = {one.c_str()};
    qed_clone_options clone{};
    clone.struct_bytes = sizeof clone;
    clone.backing_depth = 2;
    EXPECT_EQ(qed_clone(path("over.qed").c_str(), names.data(), 1, &clone, &error_),
              QED_BACKING_REFUSED);
    clone.backing_depth = 3;
    expect_ok(qed_clone(path("over.qed").c_str(), names.data(), 1, &clone, &error_));
    qed_open_options open{};
    open.struct_bytes = sizeof open;
    open.backing_depth = 2;
    qed_image* image = nullptr;
    EXPECT_EQ(qed_open(one.c_str(), &open, &image, &error_), QED_BACKING_REFUSED);
    open.backing_depth = 4096;
    EXPECT_EQ(qed_open(one.c_str(), &open, &image, &error_), QED_INVALID_ARGUMENT);
}

TEST_F(COperationsTest, RawDisksAreLockedLikeImages) {
    qed_image* writer = nullptr;
    qed_image* other = nullptr;
    const std::string raw = path("golden.qed");
    expect_ok(qed_open_raw(raw.c_str(), true, &writer, &error_));
    EXPECT_EQ(qed_open_raw(raw.c_str(), true, &other, &error_), QED_LOCKED);
    EXPECT_EQ(qed_open_raw(raw.c_str(), false, &other, &error_), QED_LOCKED);
    EXPECT_EQ(qed_open(raw.c_str(), nullptr, &other, &error_), QED_LOCKED);
    qed_open_options shared{};
    shared.struct_bytes = sizeof shared;
    shared.format = QED_FORMAT_RAW;
    shared.lock = QED_LOCK_FORCE_SHARED;
    expect_ok(qed_open(raw.c_str(), &shared, &other, &error_));
    expect_ok(qed_close(other, &error_));
    expect_ok(qed_close(writer, &error_));
    // A base that a clone uses cannot be opened for writing.
    expect_ok(qed_open(path("top.qed").c_str(), nullptr, &other, &error_));
    EXPECT_EQ(qed_open_raw(raw.c_str(), true, &writer, &error_), QED_LOCKED);
    expect_ok(qed_close(other, &error_));
}

TEST_F(COperationsTest, MessagesAdviseWhatTheInterfaceHas) {
    const auto says = [&](const char* text) {
        EXPECT_THAT(error_.message, HasSubstr(text));
        EXPECT_THAT(error_.message, Not(HasSubstr("--")));
        EXPECT_THAT(error_.message, Not(HasSubstr("'qed ")));
    };
    qed_image* image = nullptr;
    qed_image* other = nullptr;
    qed_open_options options{};
    options.struct_bytes = sizeof options;
    options.writable = true;
    expect_ok(qed_open(path("top.qed").c_str(), &options, &image, &error_));
    EXPECT_EQ(qed_open(path("top.qed").c_str(), nullptr, &other, &error_), QED_LOCKED);
    says("QED_LOCK_FORCE_SHARED");
    const char byte = 1;
    expect_ok(qed_write(image, (1 << 20) - 1, &byte, 1, 0, &error_));
    EXPECT_NE(qed_resize(image, 512, false, &error_), QED_OK);
    says("allow_data_loss");
    expect_ok(qed_close(image, &error_));
    std::filesystem::create_directory(path("sub"));
    std::filesystem::rename(path("top.qed"), path("sub/top.qed"));
    options.backing_rule = QED_BACKING_SAME_DIRECTORY;
    qed_rebase_options rebase{};
    rebase.struct_bytes = sizeof rebase;
    rebase.format = QED_FORMAT_QED;
    rebase.change_name_only = true;
    expect_ok(qed_rebase(path("sub/top.qed").c_str(), "../golden.qed", &rebase, &error_));
    EXPECT_EQ(qed_open(path("sub/top.qed").c_str(), &options, &image, &error_),
              QED_BACKING_REFUSED);
    says("QED_BACKING_ANY");
}

TEST_F(COperationsTest, NullIsAnErrorAndNotTheEnd) {
    const std::array<const char*, 1> names = {nullptr};
    const std::string base = path("golden.qed");
    EXPECT_EQ(qed_commit(nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_snapshot(base.c_str(), nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_snapshot_revert(nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_clone(base.c_str(), nullptr, 1, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_clone(base.c_str(), names.data(), 1, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_rebase(nullptr, nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
}

}  // namespace
