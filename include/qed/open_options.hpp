// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "qed/file_lock.hpp"

namespace qed {

class CacheBudget;
class StorageOpener;

/// When table entries may reach the file (docs/architecture.md, "A power cut").
enum class WriteOrder : std::uint8_t {
    automatic,  ///< strict with a backing file, ordered without
    strict,     ///< data, flush, then the entry: the image is consistent at every moment
    ordered,    ///< NEED_CHECK is set first; entries follow the data without a flush
    deferred,   ///< entries wait in memory for the next flush; a killed process loses what it
                ///< wrote since then, a flushed write is as safe as with strict
};

/// The files that the header of an image may make the library open.
enum class BackingRule : std::uint8_t {
    same_directory,   ///< names that stay below the image's own directory
    none,             ///< refuse images with a backing file
    below_directory,  ///< names that stay below `BackingPolicy::directory`
    any,              ///< whatever the header names, as long as it is a file or block device
};

/// The format of a backing file that the header does not state.
enum class BackingFormat : std::uint8_t {
    /// As the header states. A QED header states only whether the format is raw; if it is not, the
    /// file
    /// has to begin as an image of a known format does. Raw is never a guess.
    unstated,
    raw,
    qed,  ///< or another format whose images begin with a header; for all but raw and qcow2
    qcow2,
};

/// The most backing files below an image, unless the caller states another limit.
inline constexpr unsigned kDefaultBackingDepth = 256;
/// The most backing files that any caller may allow.
inline constexpr unsigned kMaxBackingDepth = 1024;

struct BackingPolicy {
    BackingRule rule = BackingRule::same_directory;
    const char* directory = nullptr;  ///< for below_directory
    BackingFormat format = BackingFormat::unstated;
    unsigned depth_limit = kDefaultBackingDepth;  ///< layers below this image
};

/// How to open an image. Trivially destructible on purpose: g++ 12 destroys owning temporaries
/// twice in co_await expressions.
struct OpenOptions {
    bool writable = false;      ///< false: never changes the file, not even its header
    bool direct = false;        ///< O_DIRECT for the image file (not for its backing files)
    bool sync = false;          ///< every write is durable when it completes
    bool ignore_flush = false;  ///< flush does nothing: for throw-away work only
    /// Blocking reads of files that are opened read-only (the backing files, and the image unless
    /// it is writable or direct) copy from a mapping of the file if it can be mapped
    /// (Stats::mapped_bytes). This saves the system call. Meant for files that no program
    /// truncates. If a program does, reads notice it, and use system calls from then on. Installs a
    /// handler of SIGBUS for the whole process; threads that read must not block that signal after
    /// their first read.
    bool mapped = false;
    bool repair_dirty = true;  ///< writable and NEED_CHECK is set: check and repair first
    bool open_backing = true;  ///< false: unallocated reads are an error, metadata works
    LockMode lock = LockMode::normal;
    StorageOpener* storage = nullptr;  ///< opens the image and its backing files by name; null:
                                       ///< posix_storage(). Lives as long as the image
    WriteOrder order = WriteOrder::automatic;
    BackingPolicy backing{};
    CacheBudget* budget = nullptr;     ///< null: the budget of the process
    std::uint64_t cache_limit = 0;     ///< bytes of the budget this image may use; 0: all it needs
    std::uint32_t slice_bytes = 4096;  ///< unit of the table cache: power of two, 512 .. 65536
    std::uint32_t readahead_slices = 8;       ///< read at once on sequential misses; 1: off
    std::uint64_t deferred_limit = 1U << 20;  ///< table bytes that may wait with deferred order
    /// Threads that read the tables of a large image that is opened writable, including the calling
    /// one; 0: one for each processor, at most 4. The caller waits for the others.
    unsigned scan_threads = 0;
};
static_assert(std::is_trivially_destructible_v<OpenOptions>);

}  // namespace qed
