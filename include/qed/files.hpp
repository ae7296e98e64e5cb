// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// A program calls this before it opens a file. Opens /dev/null as descriptor 0, 1 or 2 if that
/// descriptor is closed, so that no message is ever written into an image file that got this
/// number. Reading and writing these descriptors fails as before. Returns false if /dev/null cannot
/// be opened; the program should then end.
/// The library itself never opens a file under one of these numbers, in any program.
QED_API bool fill_standard_descriptors() noexcept;

/// How to open a file. Trivially destructible on purpose: g++ 12 destroys owning temporaries twice
/// in co_await expressions.
struct FileOptions {
    bool writable = false;
    bool direct = false;        ///< O_DIRECT: bypasses the page cache
    bool create = false;        ///< create the file if it does not exist
    bool exclusive = false;     ///< with create: fail if the file exists
    bool truncate = false;      ///< empty it, once it is locked
    bool sync = false;          ///< every write is durable when it completes (O_DSYNC)
    bool ignore_flush = false;  ///< flush does nothing (cache mode "unsafe")
    bool mapped = false;        ///< blocking reads use a mapping; ignored with writable or direct
    int directory = -1;         ///< openat() base, -1 for the current directory
    /// Taken before the file is returned. The file is then the one that `path` leads to, although
    /// another process may have replaced it by a rename meanwhile. A device that is opened for
    /// writing with a lock must not be mounted.
    LockRole lock = LockRole::none;
};

/// Opens a regular file or block device. FIFOs, sockets, directories and character devices are
/// refused with a clear error and without blocking. Requests run on the caller's thread, or through
/// the io_uring of the executor that awaits them, where it has one (UringLoop).
/// \errors not_found, already_exists, permission_denied, invalid_argument (not a file or device),
///         unsupported (direct I/O or locks that the file system does not have), locked (also a
///         device that is mounted, and a file that is replaced again and again), io_error ...
QED_API Result<std::unique_ptr<BlockFile>> open_file(const std::string& path,
                                                     const FileOptions& options);
/// The same for an open descriptor. The call takes ownership of the descriptor, and closes it on
/// failure, too. Of the options, `create`, `exclusive`, `sync` and `directory` have no effect; the
/// descriptor must have been opened to match the others.
QED_API Result<std::unique_ptr<BlockFile>> adopt_descriptor(int descriptor, std::string name,
                                                            const FileOptions& options);

struct UringOptions {
    unsigned entries = 256;        ///< submission queue size; more requests wait in memory
    bool try_inline_reads = true;  ///< RWF_NOWAIT first; only what would block goes to the ring
};

/// An executor with an io_uring: runs many coroutines on one thread, with batched submission.
/// One thread runs it; any thread may call post().
class QED_API UringLoop final : public Executor {
public:
    static Result<std::unique_ptr<UringLoop>> create(const UringOptions& options);
    ~UringLoop() override;

    void post(Waiter& waiter) noexcept override;
    IoLoop* io_loop() noexcept override;

    /// Resumes coroutines and reaps completions until `done` is true.
    void run_until(const bool& done);
    /// Runs `task` here and returns its result; other coroutines of this loop run meanwhile.
    template <class T>
    T run(Task<T> task) {
        task.start_on(*this);
        run_until(task.is_done());
        return task.take_result();
    }

private:
    struct Impl;
    explicit UringLoop(std::unique_ptr<Impl> impl) noexcept;
    std::unique_ptr<Impl> impl_;
};

}  // namespace qed
