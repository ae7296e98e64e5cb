// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/executor.hpp"
#include "qed/units.hpp"

namespace qed {

class BlockFile;
struct IoBatch;

enum class IoKind : std::uint8_t {
    read,      ///< fills the buffers; bytes past the end of the file are zero
    write,     ///< writes all bytes; the file grows as needed
    flush,     ///< everything written before is durable (fdatasync)
    truncate,  ///< the file is `offset` bytes long afterwards; new bytes read as zero
    punch,     ///< `length` bytes from `offset` read as zero and their space is given back
    allocate,  ///< space for `length` bytes from `offset` is reserved; new bytes read as zero
};

/// One request to a BlockFile. It lives in the frame of the coroutine that awaits it, so that I/O
/// allocates nothing; the memory it points to must live as long. Never short: either all bytes
/// are transferred or there is an error.
struct [[nodiscard]] QED_API IoOp {
    BlockFile* file = nullptr;
    IoKind kind = IoKind::flush;
    int error = 0;  ///< errno after completion, 0 for success
    unsigned buffer_count = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  ///< bytes in all buffers
    iovec* buffers = nullptr;  ///< null: the single buffer below. Backends may edit the vector.
    iovec single{};
    Waiter waiter;             ///< home is null when a caller runs the request on its own thread
    IoBatch* batch = nullptr;  ///< set when several requests are awaited together
    // For the backend while the request is in flight.
    std::uint64_t progress = 0;
    void* backend = nullptr;

    iovec* vector() noexcept { return buffers != nullptr ? buffers : &single; }

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        waiter.handle = handle;
        waiter.home = handle.promise().home;
        return begin();
    }
    Result<void> await_resume() noexcept { return outcome(); }

    /// Runs the request to its end on the calling thread. Not for simulated files.
    Result<void> run_blocking() noexcept;
    /// The result of a finished request, with the file, the offset and the length in the message.
    Result<void> outcome() noexcept;
    /// Starts the request. True: it is in flight, and complete() will be called on the home
    /// executor's thread. False: it has finished, the result is in `error`.
    bool begin() noexcept;
    /// Called by the backend once, on the home executor's thread: resumes the awaiting coroutine.
    void complete() noexcept;
};

/// Several requests in flight at once, awaited together: `co_await IoBatch{ops, count}`.
/// Finishes when the last one has; each op then holds its own outcome.
struct [[nodiscard]] QED_API IoBatch {
    IoOp* ops = nullptr;
    std::size_t count = 0;
    std::size_t pending = 0;
    std::coroutine_handle<> handle{};

    bool await_ready() const noexcept { return count == 0; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        pending = count + 1;  // one for this loop: completions do not resume before it ends
        for (std::size_t i = 0; i < count; ++i) {
            ops[i].batch = this;
            ops[i].waiter.handle = awaiting;
            ops[i].waiter.home = awaiting.promise().home;
            if (!ops[i].begin()) --pending;
        }
        return --pending != 0;
    }
    /// The first failure, or success.
    Result<void> await_resume() noexcept;
};

/// What requests to a file must be multiples of, in bytes; 1 where anything goes.
struct Alignment {
    std::uint32_t offset = 1;  ///< file offsets and lengths
    std::uint32_t memory = 1;  ///< buffer addresses
};

/// A file or device that holds an image, a backing file or a raw disk.
///
/// Thread-safety: all members may be called from any thread at once.
/// A BlockFile accepts any offset, length and address: where the storage is stricter than the
/// request (O_DIRECT), it copies. `alignment()` says what avoids the copy.
class QED_API BlockFile {
public:
    BlockFile() = default;
    BlockFile(const BlockFile&) = delete;
    BlockFile& operator=(const BlockFile&) = delete;
    virtual ~BlockFile() = default;

    /// Starts `op`. True: pending, `op.complete()` follows on `op.waiter.home`'s thread.
    /// False: done, with the errno in `op.error`. With no home the request always runs to its end.
    virtual bool start(IoOp& op) noexcept = 0;
    /// Length in bytes as the storage reports it now; for devices their fixed size.
    virtual Result<std::uint64_t> size() noexcept = 0;
    virtual Alignment alignment() const noexcept { return {}; }
    /// Whether punch gives space back (a failing punch reports unsupported otherwise).
    virtual bool can_punch() const noexcept { return false; }
    virtual bool is_read_only() const noexcept = 0;
    /// Bytes that reads copy out of a mapping of the file; 0 where they ask the file.
    virtual std::uint64_t mapped_bytes() const noexcept { return 0; }
    /// What to call the file in messages.
    virtual std::string_view name() const noexcept = 0;
    /// The file's descriptor, or -1. For reflinks, maps and locks only.
    virtual int descriptor() const noexcept { return -1; }
    /// The next range at or after `at` that holds data, as far as the storage knows; the range
    /// starts at the end of the file when there is none. Without holes: the rest of the file.
    struct DataRange {
        std::uint64_t begin = 0;
        std::uint64_t end = 0;
    };
    virtual Result<DataRange> next_data(std::uint64_t at) noexcept;

    IoOp read(FileOffset at, std::span<std::byte> buffer) noexcept;
    IoOp write(FileOffset at, std::span<const std::byte> buffer) noexcept;
    IoOp readv(FileOffset at, std::span<iovec> buffers) noexcept;
    IoOp writev(FileOffset at, std::span<iovec> buffers) noexcept;
    IoOp flush() noexcept;
    IoOp truncate(std::uint64_t bytes) noexcept;
    IoOp punch(FileOffset at, std::uint64_t bytes) noexcept;
    IoOp allocate(FileOffset at, std::uint64_t bytes) noexcept;

private:
    IoOp make(IoKind kind, std::uint64_t offset, std::uint64_t length) noexcept;
};

}  // namespace qed
