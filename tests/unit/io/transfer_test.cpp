// SPDX-License-Identifier: Apache-2.0
#include "io/transfer.hpp"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "io/uring/io_loop.hpp"
#include "support/io_ways.hpp"

namespace qed {
namespace {

/// Takes answers for a file with transfers in units of `block` bytes.
struct Blocks {
    std::uint32_t block;
    bool account(IoOp& op, std::int64_t answer) const noexcept {
        return qed::account(op, answer, block);
    }
};

/// A file in memory whose calls transfer few bytes or are interrupted, as the script says.
class ScriptedFile {
public:
    std::vector<std::byte> bytes;
    std::deque<std::int64_t> script;  ///< per call: byte limit, or negative errno; then no limits
    std::size_t calls = 0;

    auto reader() {
        return [this](const iovec* buffers, unsigned count, std::uint64_t at) {
            return move(buffers, count, at,
                        [this](std::byte* memory, std::size_t from) { *memory = bytes[from]; });
        };
    }
    auto writer() {
        return [this](const iovec* buffers, unsigned count, std::uint64_t at) {
            for (unsigned i = 0; i < count; ++i)
                grow_to(at += buffers[i].iov_len);
            for (unsigned i = 0; i < count; ++i)
                at -= buffers[i].iov_len;
            return move(buffers, count, at,
                        [this](std::byte* memory, std::size_t to) { bytes[to] = *memory; });
        };
    }

private:
    void grow_to(std::uint64_t end) { bytes.resize(std::max<std::size_t>(bytes.size(), end)); }

    template <class Copy>
    std::int64_t move(const iovec* buffers, unsigned count, std::uint64_t at, Copy copy) {
        ++calls;
        std::int64_t most = INT64_MAX;
        if (!script.empty()) {
            most = script.front();
            script.pop_front();
        }
        if (most < 0) return most;
        std::int64_t moved = 0;
        for (unsigned i = 0; i < count; ++i) {
            auto* memory = static_cast<std::byte*>(buffers[i].iov_base);
            for (std::size_t k = 0; k < buffers[i].iov_len; ++k) {
                if (moved == most || at >= bytes.size()) return moved;
                copy(memory + k, at++);
                ++moved;
            }
        }
        return moved;
    }
};

IoOp request(IoKind kind, std::uint64_t at, std::vector<iovec>& buffers) {
    IoOp op;
    op.kind = kind;
    op.offset = at;
    op.buffers = buffers.data();
    op.buffer_count = static_cast<unsigned>(buffers.size());
    for (const iovec& buffer : buffers)
        op.length += buffer.iov_len;
    return op;
}

std::vector<iovec> split(std::vector<std::byte>& memory, const std::vector<std::size_t>& sizes) {
    std::vector<iovec> buffers;
    std::size_t used = 0;
    for (const std::size_t wanted : sizes) {
        const std::size_t piece = std::min(wanted, memory.size() - used);
        buffers.push_back({memory.data() + used, piece});
        used += piece;
    }
    buffers.push_back({memory.data() + used, memory.size() - used});
    return buffers;
}

std::deque<std::int64_t> arbitrary_script() {
    const auto steps = *rc::gen::container<std::vector<std::int64_t>>(
        rc::gen::oneOf(rc::gen::inRange<std::int64_t>(1, 40), rc::gen::just<std::int64_t>(-EINTR)));
    return {steps.begin(), steps.end()};
}

RC_GTEST_PROP(TransferTest, ReadsEveryByteHoweverShortTheCallsAndZeroesPastTheEnd, ()) {
    ScriptedFile file;
    file.bytes = test::pattern(*rc::gen::inRange<std::size_t>(0, 200), 1);
    file.script = arbitrary_script();
    const auto at = *rc::gen::inRange<std::uint64_t>(0, 250);
    std::vector<std::byte> memory(*rc::gen::inRange<std::size_t>(1, 200), std::byte{0xcc});
    auto buffers =
        split(memory,
              *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 50)));
    IoOp op = request(IoKind::read, at, buffers);

    transfer_all(op, Blocks{1}, file.reader());

    RC_ASSERT(op.error == 0);
    for (std::size_t i = 0; i < memory.size(); ++i) {
        const std::byte expected = at + i < file.bytes.size() ? file.bytes[at + i] : std::byte{0};
        RC_ASSERT(memory[i] == expected);
    }
}

RC_GTEST_PROP(TransferTest, WritesEveryByteHoweverShortTheCalls, ()) {
    ScriptedFile file;
    file.script = arbitrary_script();
    const auto at = *rc::gen::inRange<std::uint64_t>(0, 100);
    std::vector<std::byte> memory = test::pattern(*rc::gen::inRange<std::size_t>(1, 200), 2);
    auto buffers =
        split(memory,
              *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 50)));
    IoOp op = request(IoKind::write, at, buffers);

    transfer_all(op, Blocks{1}, file.writer());

    RC_ASSERT(op.error == 0);
    RC_ASSERT(file.bytes.size() == at + memory.size());
    RC_ASSERT(std::equal(memory.begin(), memory.end(),
                         file.bytes.begin() + static_cast<std::ptrdiff_t>(at)));
}

RC_GTEST_PROP(TransferTest, ShortTransferContinuesAtBlockAndPartialBlockIsEndOfFile, ()) {
    constexpr std::size_t kBlock = 16;
    ScriptedFile file;
    file.bytes = test::pattern(*rc::gen::inRange<std::size_t>(0, 200), 3);
    const auto steps = *rc::gen::container<std::vector<std::int64_t>>(
        rc::gen::map(rc::gen::inRange<std::int64_t>(1, 5),
                     [](std::int64_t blocks) { return blocks * std::int64_t{kBlock}; }));
    file.script = {steps.begin(), steps.end()};
    std::vector<std::byte> memory(kBlock * *rc::gen::inRange<std::size_t>(1, 12), std::byte{0xcc});
    auto buffers = split(memory, {kBlock, 2 * kBlock});
    IoOp op = request(IoKind::read, 0, buffers);
    std::uint64_t last_at = 0;
    const auto read = file.reader();

    transfer_all(op, Blocks{kBlock}, [&](const iovec* vector, unsigned count, std::uint64_t at) {
        last_at = at;
        RC_ASSERT(at % kBlock == 0);
        return read(vector, count, at);
    });

    RC_ASSERT(op.error == 0);
    for (std::size_t i = 0; i < memory.size(); ++i) {
        RC_ASSERT(memory[i] == (i < file.bytes.size() ? file.bytes[i] : std::byte{0}));
    }
}

class TransferErrors : public ::testing::TestWithParam<int> {};

TEST_P(TransferErrors, AFailureAfterAPartIsTheRequestsFailure) {
    for (const IoKind kind : {IoKind::read, IoKind::write}) {
        ScriptedFile file;
        file.bytes.resize(100);
        file.script = {10, -EINTR, -GetParam()};
        std::vector<std::byte> memory(50);
        std::vector<iovec> buffers = split(memory, {});
        IoOp op = request(kind, 0, buffers);
        if (kind == IoKind::read) {
            transfer_all(op, Blocks{1}, file.reader());
        } else {
            transfer_all(op, Blocks{1}, file.writer());
        }
        EXPECT_EQ(op.error, GetParam());
        EXPECT_EQ(file.calls, 3U);
    }
}
INSTANTIATE_TEST_SUITE_P(Errnos, TransferErrors, ::testing::Values(EIO, ENOSPC, EFBIG, EDQUOT));

TEST(TransferTest, WriteWithoutProgressIsAnIoError) {
    std::vector<std::byte> memory(50);
    std::vector<iovec> buffers = split(memory, {});
    IoOp op = request(IoKind::write, 0, buffers);
    transfer_all(op, Blocks{1},
                 [](const iovec*, unsigned, std::uint64_t) { return std::int64_t{0}; });
    EXPECT_EQ(op.error, EIO);
}

TEST(TransferTest, LongVectorsAreSplitAtTheSystemLimit) {
    ScriptedFile file;
    file.bytes = test::pattern(5000, 4);
    std::vector<std::byte> memory(5000);
    std::vector<iovec> buffers = split(memory, std::vector<std::size_t>(4999, 1));
    IoOp op = request(IoKind::read, 0, buffers);
    const auto read = file.reader();
    unsigned most = 0;
    transfer_all(op, Blocks{1}, [&](const iovec* vector, unsigned count, std::uint64_t at) {
        most = std::max(most, count);
        return read(vector, count, at);
    });
    EXPECT_EQ(most, unsigned{IOV_MAX});
    EXPECT_EQ(memory, file.bytes);
}

TEST(TransferTest, EmptyRequestMakesNoCall) {
    IoOp op;
    op.kind = IoKind::read;
    transfer_all(op, Blocks{1}, [](const iovec*, unsigned, std::uint64_t) {
        ADD_FAILURE() << "called";
        return std::int64_t{0};
    });
    EXPECT_EQ(op.error, 0);
}

TEST(FileStateTest, InterruptedRequestIsRetried) {
    FileState file;
    IoOp op;
    EXPECT_FALSE(file.settle(op, -EINTR));
    EXPECT_TRUE(file.settle(op, -EIO));
    EXPECT_EQ(op.error, EIO);
    EXPECT_TRUE(file.settle(op, 0));
    EXPECT_EQ(op.error, 0);
}

TEST(FileStateTest, ARefusedPunchIsRemembered) {
    FileState file;
    file.can_punch = true;
    IoOp op;
    op.kind = IoKind::allocate;
    EXPECT_TRUE(file.settle(op, -EOPNOTSUPP));
    op.kind = IoKind::punch;
    EXPECT_TRUE(file.settle(op, -ENOSPC));
    EXPECT_TRUE(file.can_punch);
    EXPECT_TRUE(file.settle(op, -EOPNOTSUPP));
    EXPECT_FALSE(file.can_punch);
}

TEST(TransferTest, ScattersAndGathersAcrossBuffers) {
    std::vector<std::byte> memory(30);
    std::vector<iovec> buffers = split(memory, {0, 7, 1, 0, 11});
    const std::vector<std::byte> source = test::pattern(30, 5);
    IoOp in = request(IoKind::read, 0, buffers);
    scatter(in, std::span(source).first(9));
    scatter(in, std::span(source).subspan(9));
    EXPECT_EQ(memory, source);

    std::vector<std::byte> collected(30);
    buffers = split(memory, {29});
    IoOp out = request(IoKind::write, 0, buffers);
    gather(out, std::span(collected).first(13));
    gather(out, std::span(collected).subspan(13));
    EXPECT_EQ(collected, source);
}

}  // namespace
}  // namespace qed
