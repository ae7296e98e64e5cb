// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/cache_budget.hpp"
#include "qed/error.hpp"
#include "qed/files.hpp"
#include "qed/header.hpp"
#include "qed/mapping.hpp"
#include "qed/stats.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"

namespace qed {

/// When table entries may reach the file (docs/architecture.md, "Order on disk").
enum class WriteOrder : std::uint8_t {
    automatic,  ///< strict with a backing file, ordered without
    strict,     ///< data, flush, then the entry: the image is consistent at every moment
    ordered,    ///< NEED_CHECK is set first; entries follow the data without a flush
    deferred,   ///< entries wait in memory for the next flush; a killed process loses what it
                ///< wrote since then, a flushed write is as safe as with strict
};

/// How the image file and its backing files are locked against other processes.
enum class LockMode : std::uint8_t {
    normal,        ///< readers share the image, a writer excludes all other processes
    force_shared,  ///< read-only while another process may write; may read inconsistent data
    none,          ///< no locks: two writers destroy the image
};

/// What a header may make us open.
enum class BackingRule : std::uint8_t {
    same_directory,   ///< names that stay below the image's own directory
    none,             ///< refuse images with a backing file
    below_directory,  ///< names that stay below `BackingPolicy::directory`
    any,              ///< whatever the header names, as long as it is a file or block device
};

/// The format of a backing file that the header does not state.
enum class BackingFormat : std::uint8_t {
    unstated,  ///< as the header says: raw with its flag, QED without; never probed
    raw,
    qed,
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
    /// Blocking reads of files that are opened read-only (the backing files; the image, unless it
    /// is writable or direct) copy out of a mapping where there can be one (Stats::mapped_bytes).
    /// Saves the system call. For files that nobody truncates: if somebody does, reads notice and
    /// ask the file from then on. Puts a handler of SIGBUS in place, for the whole process, and
    /// threads that read must not block that signal after their first read.
    bool mapped = false;
    bool repair_dirty = true;  ///< writable and NEED_CHECK is set: check and repair first
    bool open_backing = true;  ///< false: unallocated reads are an error, metadata works
    LockMode lock = LockMode::normal;
    WriteOrder order = WriteOrder::automatic;
    BackingPolicy backing{};
    CacheBudget* budget = nullptr;     ///< null: the process's
    std::uint64_t cache_limit = 0;     ///< bytes of the budget this image may use; 0: all it needs
    std::uint32_t slice_bytes = 4096;  ///< unit of the table cache: power of two, 512 .. 65536
    std::uint32_t readahead_slices = 8;       ///< read at once on sequential misses; 1: off
    std::uint64_t deferred_limit = 1U << 20;  ///< table bytes that may wait with deferred order
};
static_assert(std::is_trivially_destructible_v<OpenOptions>);

enum class Preallocation : std::uint8_t {
    off,
    metadata,  ///< all clusters are mapped, the file is sparse: first writes happen in place
    falloc,    ///< the same, with the space reserved
    full,      ///< the same, with zeroes written
};

struct CreateOptions {
    std::uint64_t image_bytes = 0;  ///< multiple of 512; 0 with a backing file: its size
    std::uint32_t cluster_bytes = kDefaultClusterBytes;
    std::uint32_t table_clusters = kDefaultTableClusters;
    const char* backing_name = nullptr;  ///< stored as it is; relative to the new image's directory
    BackingFormat backing_format = BackingFormat::unstated;  ///< must be stated with a name
    bool check_backing = true;  ///< open the backing file and take its size
    Preallocation preallocation = Preallocation::off;
    bool exclusive = false;                       ///< fail when the file exists
    unsigned depth_limit = kDefaultBackingDepth;  ///< fail with more backing files than this
};
static_assert(std::is_trivially_destructible_v<CreateOptions>);

enum class WriteFlags : std::uint8_t {
    none = 0,
    fua = 1,          ///< durable when it completes
    may_unmap = 2,    ///< write_zeroes of a raw file may make holes; whole clusters of a QED image
                      ///< are given back with and without it
    no_fallback = 4,  ///< write_zeroes: fail with unsupported rather than write zero bytes
    explicit_zero = 8,  ///< write_zeroes: make whole clusters zero clusters even if they read as
                        ///< zeroes already, so that they hide a backing file that is set later
};
constexpr WriteFlags operator|(WriteFlags a, WriteFlags b) {
    return static_cast<WriteFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(WriteFlags flags, WriteFlags flag) {
    return (static_cast<unsigned>(flags) & static_cast<unsigned>(flag)) != 0;
}

/// What a guest range is, through the whole chain (for maps, convert and NBD block status).
struct MappedExtent {
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    bool data = false;         ///< reads come from stored data
    bool zero = false;         ///< known to read as zeroes
    bool present = false;      ///< some layer's table or raw file says so; false: nothing anywhere
    unsigned depth = 0;        ///< layer: 0 is the image itself
    FileOffset file_offset{};  ///< in that layer's file, when data
    std::string_view file_name;  ///< lives as long as the image
};

class Layer;

/// A virtual disk of `size()` bytes, stored as a QED image.
///
/// Thread-safety: any member may run on any thread at any time, except that close() and the
/// destructor come last. Readers do not block readers; allocating writes to different clusters run
/// concurrently.
/// Ways to call: each operation is a Task, to be awaited on any executor. Its variant with
/// `_blocking` runs on the calling thread; reads and in-place writes that hit the table cache then
/// use no coroutine.
/// Lifetime: the Image outlives every Task it has returned.
class QED_API Image {
public:
    /// Opens the image at `path` with its backing files. Blocks.
    /// \errors not_found, not_qed, corrupt_metadata, unsupported_feature, locked, needs_check,
    ///         backing_refused, io_error ...
    static Result<std::unique_ptr<Image>> open(const std::string& path, const OpenOptions& options);
    /// Opens the image stored in `file` over `backing`. With a null `backing` the header's backing
    /// file is ignored, and reads of unallocated clusters fail if the header names one. For other
    /// storage and simulation; takes no locks.
    static Task<Result<std::unique_ptr<Image>>> open_file(std::unique_ptr<BlockFile> file,
                                                          std::shared_ptr<Image> backing,
                                                          OpenOptions options);
    /// A raw file or device as an Image: one layer that is all data, for the bottom of a chain and
    /// for tools. Reads and, when the file is writable, in-place writes.
    static Result<std::unique_ptr<Image>> open_raw(std::unique_ptr<BlockFile> file);

    /// Makes a new image at `path`. An existing file is replaced only after its lock is held.
    static Result<void> create(const std::string& path, const CreateOptions& options);
    /// Writes an empty image into `file`, which is truncated first.
    static Task<Result<void>> format(BlockFile& file, CreateOptions options);

    ~Image();
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;

    std::uint64_t size() const noexcept;  ///< bytes; changes only by resize()
    bool is_writable() const noexcept;
    bool is_raw() const noexcept;
    Header header() const;  ///< as last written; not for raw layers
    const Geometry& geometry() const noexcept;
    std::string_view file_name() const noexcept;
    std::string backing_name() const;  ///< from the header; empty without
    BlockFile& file() noexcept;
    Image* backing() const noexcept;  ///< next layer, or null
    unsigned depth() const noexcept;  ///< layers below this one
    Stats stats() const;

    /// Fills `buffer` with guest data starting at `offset`; never short. Zero bytes are legal.
    /// \errors out_of_range (buffer untouched), corrupt_metadata, io_error, backing errors
    /// \cost   one file read per run of adjacent clusters; no table read when cached
    Task<Result<void>> read(GuestOffset offset, std::span<std::byte> buffer);
    Result<void> read_blocking(GuestOffset offset, std::span<std::byte> buffer);

    /// Writes `data` at `offset`. A completed write is visible to every later read. It is durable
    /// after flush(), or at once with fua.
    /// \errors out_of_range, read_only, no_space, io_error, corrupt_metadata, write_stopped
    /// \cost   in place: one file write per run. New clusters: their data, one table write shared
    ///         with other requests, and with strict order one shared flush before it
    Task<Result<void>> write(GuestOffset offset, std::span<const std::byte> data,
                             WriteFlags flags = WriteFlags::none);
    Result<void> write_blocking(GuestOffset offset, std::span<const std::byte> data,
                                WriteFlags flags = WriteFlags::none);

    /// Makes `length` bytes starting at `offset` read as zeroes. Whole clusters are marked in the
    /// tables; zeroes are written into partial ones. Any alignment and length.
    Task<Result<void>> write_zeroes(GuestOffset offset, std::uint64_t length,
                                    WriteFlags flags = WriteFlags::none);
    Result<void> write_zeroes_blocking(GuestOffset offset, std::uint64_t length,
                                       WriteFlags flags = WriteFlags::none);

    /// Frees the whole clusters inside the range; they read as zeroes afterwards. Clusters that lie
    /// only partly in the range keep their content.
    Task<Result<void>> discard(GuestOffset offset, std::uint64_t length);
    Result<void> discard_blocking(GuestOffset offset, std::uint64_t length);

    /// Makes every write that completed before this call durable. A failure is sticky: the image
    /// refuses further writes.
    Task<Result<void>> flush();
    Result<void> flush_blocking();

    /// Loads the tables of a range into the cache.
    Task<Result<void>> prefetch(GuestOffset offset, std::uint64_t length);
    Result<void> prefetch_blocking(GuestOffset offset, std::uint64_t length);

    /// What this layer alone states about the first of `length` bytes: never not_loaded.
    /// \errors those of read(); where the layer's metadata is corrupt, corrupt_metadata
    Task<Result<Mapping>> extent_at(GuestOffset offset, std::uint64_t length);
    Result<Mapping> extent_at_blocking(GuestOffset offset, std::uint64_t length);
    /// The first extent through the whole chain; neighbours of the same kind are merged as long as
    /// they fit `length`.
    Task<Result<MappedExtent>> map(GuestOffset offset, std::uint64_t length);
    Result<MappedExtent> map_blocking(GuestOffset offset, std::uint64_t length);

    /// Changes the virtual size (multiple of 512). New space reads as zeroes even if the backing
    /// file has data there. Shrinking discards the data after the new end; if clusters are
    /// allocated there, it needs `allow_data_loss`.
    Task<Result<void>> resize(std::uint64_t image_bytes, bool allow_data_loss = false);
    Result<void> resize_blocking(std::uint64_t image_bytes, bool allow_data_loss = false);

    /// Stores another backing file name (null: none). The caller must have made the contents match
    /// (qed/rebase.hpp).
    Task<Result<void>> set_backing_name(const char* name, BackingFormat format);
    Result<void> set_backing_name_blocking(const char* name, BackingFormat format);

    /// Quiesces the image: flushes, writes deferred table entries, returns free space to the file
    /// system, and clears NEED_CHECK. The caller decides when the image is idle.
    Task<Result<void>> quiesce();
    Result<void> quiesce_blocking();

    /// Quiesces the image, then truncates free space at the end of the file. The image cannot be
    /// used afterwards; its destructor releases the locks. Without close(), NEED_CHECK stays set if
    /// it was set.
    Result<void> close();

private:
    explicit Image(std::unique_ptr<Layer> core) noexcept;
    friend class Layer;
    std::unique_ptr<Layer> layer_;
};

}  // namespace qed
