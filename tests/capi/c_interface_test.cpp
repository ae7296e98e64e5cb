// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/qed.h"
#include "support/closed_descriptors.hpp"
#include "support/temp_dir.hpp"

extern "C" int c_program(const char* folder);  // tests/capi/c_program.c

namespace {

using ::testing::HasSubstr;

class CInterfaceTest : public ::testing::Test {
protected:
    std::string path(const std::string& name) const { return folder_.file(name); }

    void create(const std::string& name, std::uint64_t bytes = 1 << 20) {
        qed_create_options options{};
        options.struct_bytes = sizeof options;
        options.image_bytes = bytes;
        ASSERT_EQ(qed_create(path(name).c_str(), &options, &error_), QED_OK) << error_.message;
    }

    qed_image* open(const std::string& name, bool writable) {
        qed_open_options options{};
        options.struct_bytes = sizeof options;
        options.writable = writable;
        qed_image* image = nullptr;
        EXPECT_EQ(qed_open(path(name).c_str(), &options, &image, &error_), QED_OK)
            << error_.message;
        return image;
    }

    void close(qed_image* image) { EXPECT_EQ(qed_close(image, &error_), QED_OK) << error_.message; }

    qed::test::TempDir folder_;
    qed_error error_{};
};

TEST_F(CInterfaceTest, AProgramInCMakesClonesCopiesAndChecks) {
    EXPECT_EQ(c_program(folder_.path().c_str()), 0);
}

TEST_F(CInterfaceTest, EveryCodeHasAName) {
    EXPECT_STREQ(qed_error_name(QED_OK), "ok");
    EXPECT_STREQ(qed_error_name(QED_INVALID_ARGUMENT), "invalid_argument");
    EXPECT_STREQ(qed_error_name(QED_WRITE_STOPPED), "write_stopped");
    EXPECT_STREQ(qed_error_name(QED_CANCELLED), "cancelled");
    EXPECT_STREQ(qed_error_name(QED_CANCELLED + 1), "unknown");
    EXPECT_STREQ(qed_error_name(-1), "unknown");
}

TEST_F(CInterfaceTest, AFailureTellsCodeErrnoAndASentence) {
    qed_image* image = nullptr;
    EXPECT_EQ(qed_open(path("missing.qed").c_str(), nullptr, &image, &error_), QED_NOT_FOUND);
    EXPECT_EQ(image, nullptr);
    EXPECT_EQ(error_.code, QED_NOT_FOUND);
    EXPECT_EQ(error_.sys_errno, ENOENT);
    EXPECT_THAT(error_.message, HasSubstr("missing.qed"));
}

TEST_F(CInterfaceTest, WhoDoesNotAskForTheSentenceGetsTheCode) {
    EXPECT_EQ(qed_open(path("missing.qed").c_str(), nullptr, nullptr, nullptr),
              QED_INVALID_ARGUMENT);
    qed_image* image = nullptr;
    EXPECT_EQ(qed_open(path("missing.qed").c_str(), nullptr, &image, nullptr), QED_NOT_FOUND);
}

TEST_F(CInterfaceTest, ALongSentenceIsCutAndEnds) {
    const std::string name(3000, 'x');
    qed_image* image = nullptr;
    EXPECT_NE(qed_open(name.c_str(), nullptr, &image, &error_), QED_OK);
    EXPECT_EQ(std::string(error_.message).size(), sizeof error_.message - 1);
}

TEST_F(CInterfaceTest, NullIsAnErrorAndNotTheEnd) {
    std::array<char, 8> buffer{};
    size_t count = 0;
    EXPECT_EQ(qed_open(nullptr, nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_create(path("a.qed").c_str(), nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_read(nullptr, 0, buffer.data(), 8, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_write(nullptr, 0, buffer.data(), 8, 0, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_map(nullptr, 0, 1, nullptr, 1, &count, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_check(nullptr, nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_convert(nullptr, nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_close(nullptr, &error_), QED_OK);
    create("a.qed");
    qed_image* image = open("a.qed", true);
    EXPECT_EQ(qed_read(image, 0, nullptr, 8, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_write(image, 0, nullptr, 8, 0, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(qed_read(image, 0, nullptr, 0, &error_), QED_OK) << error_.message;
    close(image);
}

TEST_F(CInterfaceTest, AStructureWithoutItsSizeIsRefused) {
    qed_open_options options{};
    qed_image* image = nullptr;
    EXPECT_EQ(qed_open(path("a.qed").c_str(), &options, &image, &error_), QED_INVALID_ARGUMENT);
    EXPECT_THAT(error_.message, HasSubstr("struct_bytes"));
}

TEST_F(CInterfaceTest, AnOlderProgramsShorterStructureMeansDefaults) {
    create("a.qed");
    qed_open_options options{};
    options.struct_bytes = offsetof(qed_open_options, lock);
    options.writable = true;
    options.lock = 77;  // past the end of the caller's structure
    qed_image* image = nullptr;
    ASSERT_EQ(qed_open(path("a.qed").c_str(), &options, &image, &error_), QED_OK) << error_.message;
    EXPECT_TRUE(qed_is_writable(image));
    close(image);
}

TEST_F(CInterfaceTest, NewerProgramMayNotSetUnknownMembers) {
    create("a.qed");
    struct {
        qed_open_options known;
        std::uint64_t added;
    } options{};
    options.known.struct_bytes = sizeof options;
    qed_image* image = nullptr;
    ASSERT_EQ(qed_open(path("a.qed").c_str(), &options.known, &image, &error_), QED_OK);
    close(image);
    options.added = 1;
    EXPECT_EQ(qed_open(path("a.qed").c_str(), &options.known, &image, &error_),
              QED_INVALID_ARGUMENT);
    EXPECT_THAT(error_.message, HasSubstr("does not know"));
}

TEST_F(CInterfaceTest, ChoicesOutsideTheListAreRefused) {
    qed_open_options options{};
    options.struct_bytes = sizeof options;
    options.order = 4;
    qed_image* image = nullptr;
    EXPECT_EQ(qed_open(path("a.qed").c_str(), &options, &image, &error_), QED_INVALID_ARGUMENT);
    EXPECT_THAT(error_.message, HasSubstr("options.order is 4"));
}

TEST_F(CInterfaceTest, CreateKeepsAFileThatIsThereUnlessToldToReplaceIt) {
    create("a.qed", 1 << 20);
    qed_create_options options{};
    options.struct_bytes = sizeof options;
    options.image_bytes = 2 << 20;
    EXPECT_EQ(qed_create(path("a.qed").c_str(), &options, &error_), QED_ALREADY_EXISTS);
    options.replace = true;
    EXPECT_EQ(qed_create(path("a.qed").c_str(), &options, &error_), QED_OK) << error_.message;
    qed_image* image = open("a.qed", false);
    EXPECT_EQ(qed_size(image), 2U << 20);
    close(image);
}

TEST_F(CInterfaceTest, RequestsOutsideTheDiskOrAgainstTheRulesChangeNothing) {
    create("a.qed");
    qed_image* image = open("a.qed", true);
    std::array<char, 512> buffer{};
    EXPECT_EQ(qed_read(image, 1 << 20, buffer.data(), 512, &error_), QED_OUT_OF_RANGE);
    EXPECT_EQ(qed_write(image, (1 << 20) - 1, buffer.data(), 512, 0, &error_), QED_OUT_OF_RANGE);
    EXPECT_EQ(qed_write(image, 0, buffer.data(), 512, 2, &error_), QED_INVALID_ARGUMENT);
    qed_stats stats{};
    stats.struct_bytes = sizeof stats;
    ASSERT_EQ(qed_get_stats(image, &stats, &error_), QED_OK);
    EXPECT_EQ(stats.allocated_clusters, 0U);
    close(image);
    image = open("a.qed", false);
    EXPECT_EQ(qed_write(image, 0, buffer.data(), 512, 0, &error_), QED_READ_ONLY);
    close(image);
}

TEST_F(CInterfaceTest, MapShowsDataZeroesAndTheRestInOrder) {
    create("a.qed", 1 << 20);
    qed_image* image = open("a.qed", true);
    ASSERT_EQ(qed_write(image, 65536, "x", 1, 0, &error_), QED_OK) << error_.message;
    ASSERT_EQ(qed_write_zeroes(image, 3 * 65536, 65536, QED_EXPLICIT_ZERO, &error_), QED_OK);
    std::array<qed_extent, 8> extents{};
    size_t count = 0;
    ASSERT_EQ(qed_map(image, 0, 1 << 20, extents.data(), extents.size(), &count, &error_), QED_OK);
    ASSERT_EQ(count, 5U);
    EXPECT_TRUE(extents[1].data);
    EXPECT_STREQ(extents[1].file_name, path("a.qed").c_str());
    EXPECT_FALSE(extents[2].present);
    EXPECT_TRUE(extents[3].zero && extents[3].present);
    EXPECT_EQ(extents[4].start + extents[4].length, 1U << 20);
    ASSERT_EQ(qed_map(image, 0, 1 << 20, extents.data(), 2, &count, &error_), QED_OK);
    EXPECT_EQ(count, 2U);
    close(image);
}

TEST_F(CInterfaceTest, DiscardResizeAndBackingNames) {
    create("base.qed");
    create("other.qed");
    qed_create_options options{};
    options.struct_bytes = sizeof options;
    options.backing_name = "base.qed";
    options.backing_format = QED_FORMAT_QED;
    ASSERT_EQ(qed_create(path("a.qed").c_str(), &options, &error_), QED_OK) << error_.message;
    qed_image* image = open("a.qed", true);
    std::array<char, 1024> name{};
    ASSERT_EQ(qed_backing_name(image, name.data(), name.size(), &error_), QED_OK);
    EXPECT_STREQ(name.data(), "base.qed");
    EXPECT_EQ(qed_backing_name(image, name.data(), 8, &error_), QED_INVALID_ARGUMENT);
    ASSERT_EQ(qed_set_backing(image, "other.qed", QED_FORMAT_QED, &error_), QED_OK);
    ASSERT_EQ(qed_backing_name(image, name.data(), name.size(), &error_), QED_OK);
    EXPECT_STREQ(name.data(), "other.qed");

    ASSERT_EQ(qed_write(image, 0, "data", 4, 0, &error_), QED_OK);
    ASSERT_EQ(qed_discard(image, 0, 65536, &error_), QED_OK) << error_.message;
    std::array<char, 4> read{};
    ASSERT_EQ(qed_read(image, 0, read.data(), 4, &error_), QED_OK);
    EXPECT_EQ(read, (std::array<char, 4>{}));

    ASSERT_EQ(qed_resize(image, 2 << 20, false, &error_), QED_OK) << error_.message;
    EXPECT_EQ(qed_size(image), 2U << 20);
    EXPECT_EQ(qed_prefetch(image, 0, 2 << 20, &error_), QED_OK);
    EXPECT_EQ(qed_flush(image, &error_), QED_OK);
    EXPECT_EQ(qed_settle(image, &error_), QED_OK);
    close(image);
}

TEST_F(CInterfaceTest, CompactStepsShortenTheFile) {
    create("a.qed");
    qed_image* image = open("a.qed", true);
    const std::vector<char> data(8 * 65536, 'x');
    ASSERT_EQ(qed_write(image, 0, data.data(), data.size(), 0, &error_), QED_OK);
    ASSERT_EQ(qed_discard(image, 0, 6 * 65536, &error_), QED_OK);
    ASSERT_EQ(qed_settle(image, &error_), QED_OK);
    const auto before = std::filesystem::file_size(path("a.qed"));

    uint64_t moved = 0;
    bool has_more = true;
    while (has_more) {
        uint64_t bytes = 0;
        ASSERT_EQ(qed_compact_step(image, 65536, &bytes, &has_more, &error_), QED_OK)
            << error_.message;
        moved += bytes;
    }
    EXPECT_GT(moved, 0U);
    EXPECT_EQ(qed_compact_step(image, 65536, nullptr, nullptr, &error_), QED_OK);
    EXPECT_EQ(qed_settle(image, &error_), QED_OK);
    EXPECT_EQ(std::filesystem::file_size(path("a.qed")), before - 6 * 65536);
    std::vector<char> found(2 * 65536);
    ASSERT_EQ(qed_read(image, 6 * 65536, found.data(), found.size(), &error_), QED_OK);
    EXPECT_EQ(found, std::vector<char>(2 * 65536, 'x'));
    EXPECT_EQ(qed_compact_step(nullptr, 1, nullptr, nullptr, &error_), QED_INVALID_ARGUMENT);
    close(image);
}

TEST_F(CInterfaceTest, CheckFindsADamageAndRepairsIt) {
    create("a.qed");
    qed_image* image = open("a.qed", true);
    ASSERT_EQ(qed_write(image, 0, "x", 1, 0, &error_), QED_OK);
    close(image);
    std::ofstream(path("a.qed"), std::ios::app) << std::string(1 << 20, 'x');
    std::filesystem::resize_file(path("a.qed"),
                                 std::filesystem::file_size(path("a.qed")) + (2 << 20));
    qed_check_report report{};
    report.struct_bytes = sizeof report;
    ASSERT_EQ(qed_check(path("a.qed").c_str(), nullptr, &report, &error_), QED_OK)
        << error_.message;
    EXPECT_EQ(report.leaks, 16U);
    EXPECT_EQ(report.free_clusters, 32U);  // a hole
    qed_check_options options{};
    options.struct_bytes = sizeof options;
    options.repair = QED_REPAIR_ALL;
    options.lock = QED_LOCK_FORCE_SHARED;
    EXPECT_EQ(qed_check(path("a.qed").c_str(), &options, &report, &error_), QED_INVALID_ARGUMENT);
    options.lock = QED_LOCK_NORMAL;
    ASSERT_EQ(qed_check(path("a.qed").c_str(), &options, &report, &error_), QED_OK);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_EQ(report.leaks_fixed, 16U);
}

TEST_F(CInterfaceTest, CheckOfAnImageThatIsWrittenToIsRefused) {
    create("a.qed");
    qed_image* image = open("a.qed", true);
    qed_check_report report{};
    report.struct_bytes = sizeof report;
    EXPECT_EQ(qed_check(path("a.qed").c_str(), nullptr, &report, &error_), QED_LOCKED);
    close(image);
}

TEST_F(CInterfaceTest, CheckWithoutMemoryForItsReportRepairsNothing) {
    create("a.qed");
    const auto before = std::filesystem::file_size(path("a.qed"));
    std::ofstream(path("a.qed"), std::ios::app) << std::string(65536, 'x');  // a leaked cluster
    qed_check_options options{};
    options.struct_bytes = sizeof options;
    options.repair = QED_REPAIR_ALL;
    qed_check_report report{};
    EXPECT_EQ(qed_check(path("a.qed").c_str(), &options, &report, &error_), QED_INVALID_ARGUMENT);
    EXPECT_EQ(std::filesystem::file_size(path("a.qed")), before + 65536);
    report.struct_bytes = sizeof report;
    EXPECT_EQ(qed_check(path("a.qed").c_str(), &options, &report, &error_), QED_OK);
    EXPECT_EQ(std::filesystem::file_size(path("a.qed")), before);
}

TEST_F(CInterfaceTest, ConvertGoesToRawAndBack) {
    create("a.qed");
    qed_image* image = open("a.qed", true);
    ASSERT_EQ(qed_write(image, 1000, "there", 5, 0, &error_), QED_OK);
    qed_convert_options options{};
    options.struct_bytes = sizeof options;
    EXPECT_EQ(qed_convert(image, path("a.raw").c_str(), &options, &error_), QED_INVALID_ARGUMENT);
    options.target_format = QED_FORMAT_RAW;
    ASSERT_EQ(qed_convert(image, path("a.raw").c_str(), &options, &error_), QED_OK)
        << error_.message;
    EXPECT_EQ(qed_convert(image, path("a.raw").c_str(), &options, &error_), QED_ALREADY_EXISTS);
    close(image);

    qed_image* raw = nullptr;
    ASSERT_EQ(qed_open_raw(path("a.raw").c_str(), false, &raw, &error_), QED_OK);
    EXPECT_EQ(qed_cluster_bytes(raw), 0U);
    options.target_format = QED_FORMAT_QED;
    options.cluster_bytes = 4095;
    EXPECT_EQ(qed_convert(raw, path("b.qed").c_str(), &options, &error_), QED_INVALID_ARGUMENT);
    EXPECT_FALSE(std::filesystem::exists(path("b.qed")));
    options.cluster_bytes = 4096;
    ASSERT_EQ(qed_convert(raw, path("b.qed").c_str(), &options, &error_), QED_OK) << error_.message;
    close(raw);
    image = open("b.qed", false);
    EXPECT_EQ(qed_cluster_bytes(image), 4096U);
    std::array<char, 5> read{};
    ASSERT_EQ(qed_read(image, 1000, read.data(), 5, &error_), QED_OK);
    EXPECT_EQ(std::string(read.data(), 5), "there");
    close(image);
}

TEST_F(CInterfaceTest, ImagesStayOffStandardDescriptorsThatAreClosed) {
    using qed::test::ClosedDescriptors;
    for (unsigned closed = 0; closed < ClosedDescriptors::kChoices; ++closed) {
        std::array<int, 5> status{};
        unsigned closed_meanwhile = 0;
        qed_create_options options{};
        options.struct_bytes = sizeof options;
        options.image_bytes = 1 << 20;
        options.replace = true;
        qed_check_report report{};
        report.struct_bytes = sizeof report;
        {
            const ClosedDescriptors closing(closed);
            status[0] = qed_create(path("a.qed").c_str(), &options, &error_);
            qed_open_options writing{};
            writing.struct_bytes = sizeof writing;
            writing.writable = true;
            qed_image* image = nullptr;
            status[1] = qed_open(path("a.qed").c_str(), &writing, &image, &error_);
            closed_meanwhile = ClosedDescriptors::now();
            if (image != nullptr) {
                status[2] = qed_write(image, 0, "data", 4, 0, &error_);
                status[3] = qed_close(image, &error_);
            }
            status[4] = qed_check(path("a.qed").c_str(), nullptr, &report, &error_);
        }
        EXPECT_EQ(status, (std::array<int, 5>{})) << error_.message;
        EXPECT_EQ(closed_meanwhile, closed);
        EXPECT_EQ(report.corruptions, 0U);
    }
}

TEST_F(CInterfaceTest, AConvertThatIsStoppedLeavesNoFile) {
    create("a.qed");
    qed_image* image = open("a.qed", false);
    qed_convert_options options{};
    options.struct_bytes = sizeof options;
    options.target_format = QED_FORMAT_QED;
    options.progress = [](void*, std::uint64_t, std::uint64_t) { return false; };
    EXPECT_EQ(qed_convert(image, path("b.qed").c_str(), &options, &error_), QED_CANCELLED);
    EXPECT_FALSE(std::filesystem::exists(path("b.qed")));
    close(image);
}

}  // namespace
