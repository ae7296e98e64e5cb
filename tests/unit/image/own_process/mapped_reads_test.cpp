// SPDX-License-Identifier: Apache-2.0
// Images whose files are read from mappings: the same bytes as without, no allocation, and at worst
// an error when a file is truncated. This program makes allocations fail.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/geometries.hpp"
#include "support/replace_new.hpp"
#include "support/temp_dir.hpp"

namespace qed::test {
namespace {

using Bytes = std::vector<std::byte>;

class MappedReadsTest : public ::testing::Test {
protected:
    /// Creates an image over the previously created one.
    void create(const std::string& name, const Geometry& shape, std::uint64_t bytes) {
        CreateOptions create;
        create.image_bytes = bytes;
        create.cluster_bytes = static_cast<std::uint32_t>(shape.cluster_bytes());
        create.table_clusters = shape.table_clusters();
        create.backing_name = top_.empty() ? nullptr : top_.c_str();
        create.backing_format = top_.empty() ? BackingFormat::unstated : BackingFormat::qed;
        const auto made = Image::create(dir_.file(name), create);
        ASSERT_TRUE(made) << made.error().message();
        top_ = name;
    }
    /// Writes at random places, mostly close to the boundaries of clusters.
    void write_somewhere(std::uint64_t cluster_bytes, int writes = 6) {
        const auto image = open({.writable = true, .ignore_flush = true});
        Bytes data(5000);
        for (int i = 0; i < writes; ++i) {
            std::ranges::generate(data, [&] { return static_cast<std::byte>(random_()); });
            const std::uint64_t border =
                random_() % (image->size() / cluster_bytes) * cluster_bytes;
            const std::uint64_t back = std::min<std::uint64_t>(border, random_() % data.size());
            const auto part = std::span(data).first(1 + random_() % data.size());
            const GuestOffset at{std::min(border - back, image->size() - part.size())};
            ASSERT_TRUE(image->write_blocking(at, part));
            written_.push_back(at.value);
        }
        ASSERT_TRUE(image->close());
    }
    std::unique_ptr<Image> open(const OpenOptions& options) {
        auto image = Image::open(dir_.file(top_), options);
        EXPECT_TRUE(image) << image.error().message();
        return std::move(*image);
    }
    static Bytes read(Image& image, std::uint64_t at, std::size_t bytes) {
        Bytes into(bytes, std::byte{0xee});
        const auto done = image.read_blocking(GuestOffset{at}, into);
        EXPECT_TRUE(done) << done.error().message();
        return into;
    }

    TempDir dir_;
    std::string top_;
    std::mt19937_64 random_{1};
    std::vector<std::uint64_t> written_;
};

TEST_F(MappedReadsTest, GiveTheSameBytesAsOthersWithEveryGeometry) {
    for (const Geometry& shape : every_geometry()) {
        SCOPED_TRACE(std::to_string(shape.cluster_bytes()) + " x " +
                     std::to_string(shape.table_clusters()));
        top_.clear();
        written_.clear();
        const std::uint64_t bytes =
            std::min(9 * shape.cluster_bytes() - 512, shape.max_image_bytes());
        ASSERT_NO_FATAL_FAILURE(create("base.qed", shape, bytes));
        ASSERT_NO_FATAL_FAILURE(write_somewhere(shape.cluster_bytes()));
        ASSERT_NO_FATAL_FAILURE(create("top.qed", shape, bytes));
        const bool copies_much = shape.cluster_bytes() > (1U << 20);
        ASSERT_NO_FATAL_FAILURE(write_somewhere(shape.cluster_bytes(), copies_much ? 0 : 2));

        const auto plain = open({});
        const auto mapped = open({.mapped = true});
        ASSERT_EQ(plain->stats().mapped_bytes, 0U);
        ASSERT_EQ(mapped->stats().mapped_bytes,
                  *mapped->file().size() + *mapped->backing()->file().size());
        for (const std::uint64_t place : written_) {
            const std::uint64_t at = place - std::min<std::uint64_t>(place, random_() % 9000);
            const std::size_t length = std::min<std::uint64_t>(random_() % 30'000, bytes - at);
            ASSERT_EQ(read(*mapped, at, length), read(*plain, at, length))
                << length << " at " << at;
        }
        ASSERT_NE(mapped->stats().mapped_bytes, 0U);
        std::filesystem::remove(dir_.file("base.qed"));
        std::filesystem::remove(dir_.file("top.qed"));
    }
}

TEST_F(MappedReadsTest, AllocateNothingWhenTheTablesAreCached) {
    ASSERT_NO_FATAL_FAILURE(create("base.qed", geometry(65536, 4), 1U << 20));
    ASSERT_NO_FATAL_FAILURE(write_somewhere(65536));
    ASSERT_NO_FATAL_FAILURE(create("top.qed", geometry(65536, 4), 1U << 20));
    const auto image = open({.mapped = true});
    Bytes into(10'000);
    ASSERT_TRUE(image->read_blocking(GuestOffset{written_[0]}, std::span(into).first(1)));
    allocations_until_failure = 0;
    const auto done = image->read_blocking(GuestOffset{written_[0] / 65536 * 65536}, into);
    allocations_until_failure = -1;
    EXPECT_TRUE(done);
}

TEST_F(MappedReadsTest, AreOnlyOfFilesThatAreNotWritten) {
    ASSERT_NO_FATAL_FAILURE(create("base.qed", geometry(4096, 1), 1U << 20));
    ASSERT_NO_FATAL_FAILURE(create("top.qed", geometry(4096, 1), 1U << 20));
    const auto image = open({.writable = true, .mapped = true});
    EXPECT_EQ(image->file().mapped_bytes(), 0U);
    EXPECT_EQ(image->backing()->file().mapped_bytes(), *image->backing()->file().size());
    const Bytes data(20'000, std::byte{3});
    ASSERT_TRUE(image->write_blocking(GuestOffset{100}, data));
    EXPECT_EQ(read(*image, 100, data.size()), data);
}

TEST_F(MappedReadsTest, UnmappedImageDoesNotShareMappedBase) {
    ASSERT_NO_FATAL_FAILURE(create("base.qed", geometry(4096, 1), 1U << 20));
    ASSERT_NO_FATAL_FAILURE(create("top.qed", geometry(4096, 1), 1U << 20));
    const auto mapped = open({.mapped = true});
    const auto plain = open({});
    EXPECT_NE(mapped->stats().mapped_bytes, 0U);
    EXPECT_EQ(plain->stats().mapped_bytes, 0U);
}

/// Makes this process end when it maps a file for reading. Returns false if the kernel has no
/// filters.
bool forbid_mapping() {
    constexpr auto kArguments = offsetof(seccomp_data, args);
    constexpr auto kProtection = kArguments + 2 * sizeof(std::uint64_t);
    constexpr auto kFlags = kArguments + 3 * sizeof(std::uint64_t);
    std::array<sock_filter, 8> filter{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kProtection),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_READ, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlags),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog program{filter.size(), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

constexpr int kNoFilters = 77;

/// The exit status of a process that opens the image with mapped reads and may not map a file.
int end_of_opening_without_mapping(const std::string& path) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (!forbid_mapping()) ::_exit(kNoFilters);
        ::_exit(Image::open(path, {.writable = true, .mapped = true}) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

TEST_F(MappedReadsTest, ACloneTakesTheMappingOfABaseThatIsOpen) {
    ASSERT_NO_FATAL_FAILURE(create("base.qed", geometry(4096, 1), 1U << 20));
    ASSERT_NO_FATAL_FAILURE(create("one.qed", geometry(4096, 1), 1U << 20));
    top_ = "base.qed";
    ASSERT_NO_FATAL_FAILURE(create("two.qed", geometry(4096, 1), 1U << 20));
    const int alone = end_of_opening_without_mapping(dir_.file("two.qed"));
    if (WIFEXITED(alone) && WEXITSTATUS(alone) == kNoFilters) {
        GTEST_SKIP() << "the kernel has no system call filters for this process";
    }
    ASSERT_TRUE(WIFSIGNALED(alone) && WTERMSIG(alone) == SIGSYS) << alone;

    top_ = "one.qed";
    const auto one = open({.mapped = true});
    const int status = end_of_opening_without_mapping(dir_.file("two.qed"));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(MappedReadsTest, TruncatedBaseIsAnErrorAsWithoutMapping) {
    constexpr std::size_t kDiskBytes = 4U << 20;
    constexpr std::size_t kKept = 1U << 20;
    constexpr std::size_t kBlock = 65536;
    const Bytes content(kDiskBytes, std::byte{7});
    std::ofstream(dir_.file("base.raw"), std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), kDiskBytes);
    CreateOptions create;
    create.backing_name = "base.raw";
    create.backing_format = BackingFormat::raw;
    top_ = "top.qed";
    ASSERT_TRUE(Image::create(dir_.file(top_), create));
    const auto image = open({.writable = true, .mapped = true});
    ASSERT_EQ(image->stats().mapped_bytes, kDiskBytes);

    std::atomic<bool> is_cut = false;
    std::atomic<std::uint64_t> rounds = 0;
    const auto check = [&] {
        const Bytes old(kBlock, std::byte{7});
        for (bool is_last = false; !is_last; ++rounds) {
            is_last = is_cut;
            for (std::uint64_t at = 0; at < kDiskBytes; at += kBlock) {
                Bytes found(kBlock);
                const auto done = image->read_blocking(GuestOffset{at}, found);
                const bool may_fail = at >= kKept;
                ASSERT_TRUE(done ? found == old : may_fail) << at;
                if (may_fail && is_last) {
                    ASSERT_EQ(done.error().code(), Errc::io_error) << at;
                }
            }
        }
    };
    {
        const std::jthread first(check);
        const std::jthread second(check);
        while (rounds < 4)
            std::this_thread::yield();
        ASSERT_EQ(::truncate(dir_.file("base.raw").c_str(), kKept), 0);
        is_cut = true;
    }
    EXPECT_EQ(image->stats().mapped_bytes, 0U);
}

}  // namespace
}  // namespace qed::test
