// SPDX-License-Identifier: Apache-2.0
#include "io/direct/direct_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/aligned_buffer.hpp"
#include "coro/when_all.hpp"
#include "io/direct/direct_alignment.hpp"
#include "io/posix/posix_file.hpp"
#include "support/failing_new.hpp"
#include "support/io_ways.hpp"
#include "support/replace_new.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::Way;

/// A direct file on real storage that follows `unit`, which may be stricter than the storage.
std::unique_ptr<BlockFile> make_direct(const std::string& path, std::uint32_t unit) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    if (descriptor < 0) throw std::runtime_error("no direct I/O on the file system of the build");
    FileTraits traits;
    traits.writable = true;
    traits.alignment = {unit, unit};
    return std::make_unique<DirectFile>(std::make_unique<PosixFile>(descriptor, path, traits));
}

/// The expected content of the file.
class Model {
public:
    void write(std::uint64_t at, std::span<const std::byte> bytes) {
        if (bytes.empty()) return;
        bytes_.resize(std::max<std::size_t>(bytes_.size(), at + bytes.size()));
        std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    void punch(std::uint64_t at, std::uint64_t length) {
        for (std::uint64_t i = at; i < std::min<std::uint64_t>(at + length, bytes_.size()); ++i) {
            bytes_[i] = std::byte{0};
        }
    }
    void truncate(std::uint64_t length) { bytes_.resize(length); }
    std::vector<std::byte> read(std::uint64_t at, std::uint64_t length) const {
        std::vector<std::byte> read(length);
        for (std::uint64_t i = 0; i < length && at + i < bytes_.size(); ++i) {
            read[i] = bytes_[at + i];
        }
        return read;
    }
    const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

std::uint64_t arbitrary_place(std::uint64_t limit) {
    // Often at or next to the boundary of a block, where faults are likely.
    const auto block = *rc::gen::inRange<std::uint64_t>(0, limit / 512);
    const auto aside =
        *rc::gen::weightedOneOf<std::uint64_t>({{3, rc::gen::just<std::uint64_t>(0)},
                                                {2, rc::gen::element<std::uint64_t>(1, 511)},
                                                {2, rc::gen::inRange<std::uint64_t>(0, 512)}});
    return block * 512 + aside;
}

void check_against_model(Way way) {
    const auto unit = *rc::gen::element<std::uint32_t>(512, 4096);
    const test::TempDir dir;
    const auto file = make_direct(dir.file("f"), unit);
    test::Runner runner(way);
    Model model;
    AlignedBuffer memory = std::move(*AlignedBuffer::create(64 << 10, 4096));
    const auto steps = *rc::gen::inRange<int>(1, 25);
    for (int step = 0; step < steps; ++step) {
        const auto at = arbitrary_place(48 << 10);
        const auto length = arbitrary_place(16 << 10);
        const auto shift = *rc::gen::element<std::size_t>(0, 0, 512, 1);
        const auto buffer = memory.span().subspan(shift, length);
        switch (*rc::gen::inRange<int>(0, 6)) {
            case 0:
            case 1:
            case 2: {
                const auto bytes = test::pattern(length, static_cast<std::uint64_t>(step));
                std::ranges::copy(bytes, buffer.begin());
                RC_ASSERT(runner.run(file->write(FileOffset{at}, buffer)).has_value());
                model.write(at, bytes);
                break;
            }
            case 3:
                RC_ASSERT(runner.run(file->punch(FileOffset{at}, length)).has_value());
                model.punch(at, length);
                break;
            case 4:
                RC_ASSERT(runner.run(file->truncate(at)).has_value());
                model.truncate(at);
                break;
            default:
                RC_ASSERT(runner.run(file->read(FileOffset{at}, buffer)).has_value());
                RC_ASSERT(std::ranges::equal(buffer, model.read(at, length)));
        }
        RC_ASSERT(file->size().value() == model.bytes().size());
    }
    RC_ASSERT(test::read_all(*file, 0, model.bytes().size()) == model.bytes());
}

RC_GTEST_PROP(DirectFileTest, AnyRequestDoesWhatItDoesToABufferedFile, ()) {
    check_against_model(Way::on_caller);
}
RC_GTEST_PROP(DirectFileTest, AnyRequestDoesWhatItDoesToABufferedFileThroughTheRing, ()) {
    check_against_model(Way::in_uring);
}

// Long requests go through the copy buffer in several steps.
TEST(DirectFileTest, CopiesRequestsLongerThanTheCopyBuffer) {
    const test::TempDir dir;
    const auto file = make_direct(dir.file("f"), 512);
    const auto bytes = test::pattern((5 << 20) + 333, 1);
    ASSERT_TRUE(file->write(FileOffset{777}, bytes).run_blocking());
    EXPECT_EQ(file->size(), 777U + bytes.size());
    EXPECT_EQ(test::read_all(*file, 777, bytes.size()), bytes);
}

/// Writes every `step`th piece of `bytes`, starting with piece `first`, many at a time.
Task<Result<void>> write_pieces(BlockFile& file, std::span<const std::byte> bytes,
                                std::size_t piece, std::size_t first, std::size_t step) {
    std::size_t at = first * piece;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (at >= bytes.size()) return std::nullopt;
        const auto here = bytes.subspan(at, std::min(piece, bytes.size() - at));
        IoOp op = file.write(FileOffset{at}, here);
        at += step * piece;
        return test::await_op(op);
    };
    Result<void> done = co_await when_all(8, next);
    co_return done;
}

class DirectFileRaces : public ::testing::TestWithParam<std::size_t> {};

// Several threads with many coroutines each write concurrently to parts of one block, and at the
// end of the file. A read-modify-write of one request must not lose the bytes of another.
TEST_P(DirectFileRaces, WritesToPartsOfOneBlockLoseNothing) {
    constexpr std::size_t kThreads = 3;
    const test::TempDir dir;
    const auto file = make_direct(dir.file("f"), 4096);
    const auto bytes = test::pattern(150'000, 2);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&, i] {
            test::Runner runner(i == 0 ? Way::in_sync_wait : Way::in_uring);
            EXPECT_TRUE(runner.run_task(write_pieces(*file, bytes, GetParam(), i, kThreads)));
        });
    }
    std::ranges::for_each(threads, &std::thread::join);
    EXPECT_EQ(file->size(), bytes.size());
    EXPECT_EQ(test::read_all(*file, 0, bytes.size()), bytes);
}
INSTANTIATE_TEST_SUITE_P(Pieces, DirectFileRaces, ::testing::Values(700, 1024, 4096, 5000));

// One writer writes whole blocks while another merges parts into the same blocks. An aligned write
// between the read and the write of a merge must survive.
TEST(DirectFileTest, AMergeDoesNotUndoAnAlignedWriteToTheSameBlock) {
    const test::TempDir dir;
    const auto file = make_direct(dir.file("f"), 4096);
    ASSERT_TRUE(file->truncate(4096).run_blocking());
    AlignedBuffer block = std::move(*AlignedBuffer::create(4096, 4096));
    for (int round = 1; round <= 40; ++round) {
        std::ranges::fill(block.span(), static_cast<std::byte>(round));
        const std::vector<std::byte> tail(1, std::byte{0xff});
        std::thread merger([&] {
            test::Runner runner(Way::in_sync_wait);
            EXPECT_TRUE(runner.run(file->write(FileOffset{4095}, tail)));
        });
        test::Runner runner(Way::in_uring);
        EXPECT_TRUE(runner.run(file->write(FileOffset{0}, block.span())));
        merger.join();
        const auto read = test::read_all(*file, 0, 4095);
        ASSERT_EQ(read, std::vector<std::byte>(4095, static_cast<std::byte>(round)));
    }
}

// Whichever allocation fails, the request reports it, and the file stays usable.
TEST(DirectFileTest, RunningOutOfMemoryFailsTheRequestOnly) {
    const test::TempDir dir;
    const auto file = make_direct(dir.file("f"), 512);
    ASSERT_TRUE(file->write(FileOffset{0}, test::pattern(4096, 1)).run_blocking());
    const auto bytes = test::pattern(1000, 2);
    long failures = 0;
    for (bool succeeded = false; !succeeded; ++failures) {
        ASSERT_LT(failures, 20);
        IoOp op = file->write(FileOffset{300}, bytes);
        int error = 0;
        {
            const test::FailingNew failing(failures);
            op.begin();
            error = op.error;
        }
        succeeded = error == 0;
        EXPECT_TRUE(error == 0 || error == ENOMEM) << error;
    }
    EXPECT_GT(failures, 3) << "nothing was allocated";
    EXPECT_EQ(test::read_all(*file, 300, 1000), bytes);
}

TEST(DirectAlignmentTest, ProbingFindsAUnitThatWorks) {
    const test::TempDir dir;
    const int descriptor =
        ::open(dir.file("f").c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    ASSERT_GE(descriptor, 0);
    EXPECT_EQ(probe_direct_alignment(descriptor).offset, 4096U) << "too short to try";
    ASSERT_EQ(::ftruncate(descriptor, 1 << 20), 0);
    EXPECT_EQ(probe_direct_alignment(descriptor).offset, 4096U) << "holes tell nothing";
    AlignedBuffer memory = std::move(*AlignedBuffer::create(64 << 10, 4096));
    ASSERT_EQ(::pwrite(descriptor, memory.data(), memory.size(), 0),
              static_cast<ssize_t>(memory.size()));
    const Alignment probed = probe_direct_alignment(descriptor);
    const Alignment told = direct_alignment(descriptor);
    EXPECT_GE(probed.offset, told.offset);
    EXPECT_LE(probed.offset, 4096U);
    EXPECT_EQ(::pread(descriptor, memory.data() + probed.memory, probed.offset,
                      static_cast<off_t>(probed.offset)),
              static_cast<ssize_t>(probed.offset));
    ::close(descriptor);
}

}  // namespace
}  // namespace qed
