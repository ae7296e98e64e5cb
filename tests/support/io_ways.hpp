// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "qed/block_file.hpp"
#include "qed/files.hpp"
#include "qed/task.hpp"

namespace qed::test {

/// The three ways in which a request may run.
enum class Way : std::uint8_t { on_caller, in_sync_wait, in_uring };

inline void PrintTo(Way way, std::ostream* out) {
    constexpr const char* kNames[] = {"on_caller", "in_sync_wait", "in_uring"};
    *out << kNames[static_cast<int>(way)];
}

inline std::unique_ptr<UringLoop> make_loop(const UringOptions& options = {}) {
    Result<std::unique_ptr<UringLoop>> loop = UringLoop::create(options);
    if (!loop) throw std::runtime_error(loop.error().message());
    return std::move(*loop);
}

inline std::unique_ptr<BlockFile> open_or_throw(const std::string& path,
                                                const FileOptions& options) {
    Result<std::unique_ptr<BlockFile>> file = open_file(path, options);
    if (!file) throw std::runtime_error(file.error().message());
    return std::move(*file);
}

inline Task<Result<void>> await_op(IoOp op) {
    Result<void> done = co_await op;
    co_return done;
}

/// Runs requests in one of the ways.
class Runner {
public:
    explicit Runner(Way way, const UringOptions& options = {}) : way_(way) {
        if (way == Way::in_uring) loop_ = make_loop(options);
    }
    Result<void> run(IoOp op) {
        if (way_ == Way::on_caller) return op.run_blocking();
        return run_task(await_op(op));
    }
    Result<void> run_task(Task<Result<void>> task) {
        return loop_ ? loop_->run(std::move(task)) : sync_wait(std::move(task));
    }

private:
    Way way_;
    std::unique_ptr<UringLoop> loop_;
};

/// Bytes that differ by position and seed.
inline std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed) {
    std::vector<std::byte> made(bytes);
    std::uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
    for (std::byte& value : made) {
        state = state * 6364136223846793005 + 1442695040888963407;
        value = static_cast<std::byte>(state >> 56);
    }
    return made;
}

inline std::vector<std::byte> read_all(BlockFile& file, std::uint64_t at, std::size_t bytes) {
    std::vector<std::byte> read(bytes, std::byte{0xee});
    Result<void> done = file.read(FileOffset{at}, read).run_blocking();
    if (!done) throw std::runtime_error(done.error().message());
    return read;
}

}  // namespace qed::test
