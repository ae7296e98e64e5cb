// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/executor.hpp"
#include "qed/file_lock.hpp"
#include "qed/units.hpp"

namespace qed {

class BlockFile;
struct IoBatch;

enum class IoKind : std::uint8_t {
    read,      ///< fills the buffers; bytes past the end of the file are zero, and EIO where the
               ///< file is shorter than this BlockFile has known it to be
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
    bool ends_early = false;  ///< of a failed read: another process has truncated the file
    int error = 0;            ///< errno after completion, 0 for success
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
    /// Starts the request. True: it is in flight, and the backend will call one of the two
    /// functions below, once. False: it has finished, the result is in `error`.
    bool begin() noexcept;
    /// For a backend that is on the home executor's thread: resumes the awaiting coroutine.
    void complete() noexcept;
    /// For a backend that is on any thread: posts the awaiting coroutine to its home executor. The
    /// request may be gone when this returns.
    void complete_from_any_thread() noexcept;
};

/// Several requests in flight at once, awaited together: `co_await IoBatch{ops, count}`.
/// Finishes when the last one has; each op then holds its own outcome.
struct [[nodiscard]] QED_API IoBatch {
    IoOp* ops = nullptr;
    std::size_t count = 0;
    std::size_t pending = 0;  ///< changed by end_one() only: requests may complete on any thread
    std::coroutine_handle<> handle{};

    /// One request has finished. True: it was the last one.
    bool end_one() noexcept {
        return std::atomic_ref(pending).fetch_sub(1, std::memory_order_acq_rel) == 1;
    }
    bool await_ready() const noexcept { return count == 0; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        pending = count + 1;  // one for this loop: completions do not resume before it ends
        for (std::size_t i = 0; i < count; ++i) {
            ops[i].batch = this;
            ops[i].waiter.handle = awaiting;
            ops[i].waiter.home = awaiting.promise().home;
            if (!ops[i].begin()) end_one();
        }
        return !end_one();
    }
    /// The first failure, or success.
    Result<void> await_resume() noexcept;
};

/// What requests to a file must be multiples of, in bytes; 1 where anything goes.
struct Alignment {
    std::uint32_t offset = 1;  ///< file offsets and lengths
    std::uint32_t memory = 1;  ///< buffer addresses
};

/// What one file is under all its names. Two open files with equal identities are the same file.
struct FileIdentity {
    std::uint64_t storage = 0;  ///< the file system, or another place where files are
    std::uint64_t object = 0;   ///< the file in it
    friend auto operator<=>(const FileIdentity&, const FileIdentity&) = default;
};

/// What a storage is good at.
struct StorageTraits {
    bool can_punch = false;            ///< punch gives space back; a failing punch: unsupported
    bool likes_preallocation = false;  ///< writes are cheaper where space was reserved for them
    /// allocate keeps the bytes that are there, and costs little; a failing one: unsupported
    bool can_reserve = false;
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

    /// Starts `op`. True: pending, `op.complete()` follows on `op.waiter.home`'s thread, or
    /// `op.complete_from_any_thread()` on any. False: done, with the errno in `op.error`. With no
    /// home the request always runs to its end.
    virtual bool start(IoOp& op) noexcept = 0;
    /// Length in bytes as the storage reports it now; for devices their fixed size.
    virtual Result<std::uint64_t> size() noexcept = 0;
    virtual Alignment alignment() const noexcept { return {}; }
    /// They may change: a request that fails as unsupported ends `can_punch` or `can_reserve`.
    virtual StorageTraits traits() const noexcept { return {}; }
    bool can_punch() const noexcept { return traits().can_punch; }
    virtual bool is_read_only() const noexcept = 0;
    /// Bytes that reads copy out of a mapping of the file; 0 where they ask the file.
    virtual std::uint64_t mapped_bytes() const noexcept { return 0; }
    /// What to call the file in messages.
    virtual std::string_view name() const noexcept = 0;
    /// What the file is, whatever its name; nothing where the storage cannot tell.
    virtual std::optional<FileIdentity> identity() const noexcept { return std::nullopt; }
    /// Tells other processes what this one does with the file: takes all locks of `role`, or none
    /// of them, and releases those of an earlier role. Never waits. Closing releases them.
    /// Storages without locks between processes (memory; an NBD server) accept every role.
    /// \errors locked (the message names the conflict and the option that reads anyway),
    ///         unsupported (the file system has no locks), io_error
    virtual Result<void> lock(LockRole role);
    void unlock() noexcept { static_cast<void>(lock(LockRole::none)); }
    /// Makes `length` bytes from `to` share their space with those from `at` of `source`. Blocks.
    /// \returns false, with nothing changed, where these two files cannot share blocks
    virtual Result<bool> clone_range(BlockFile& source, FileOffset at, std::uint64_t length,
                                     FileOffset to);
    /// A hint: what has been written may go to the disk now. Does not wait.
    virtual void start_writeback() noexcept {}
    /// Bytes of space that the file occupies; 0 where the storage cannot tell.
    virtual Result<std::uint64_t> allocated_bytes() noexcept { return std::uint64_t{0}; }
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
    friend class DescriptorAccess;  // src/io only: no other code knows that there are descriptors
    /// The descriptor of the open file, or -1.
    virtual int descriptor() const noexcept { return -1; }

    IoOp make(IoKind kind, std::uint64_t offset, std::uint64_t length) noexcept;
};

}  // namespace qed
