// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/cache_budget.hpp"
#include "qed/compact_step.hpp"
#include "qed/create_options.hpp"
#include "qed/error.hpp"
#include "qed/files.hpp"
#include "qed/format.hpp"
#include "qed/header.hpp"
#include "qed/mapping.hpp"
#include "qed/open_options.hpp"
#include "qed/stats.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"
#include "qed/write_flags.hpp"

namespace qed {

/// The state of a guest range through the whole chain, for maps, convert and NBD block status.
struct MappedExtent {
    std::uint64_t start = 0;
    std::uint64_t length = 0;
    bool data = false;     ///< reads come from stored data
    bool zero = false;     ///< known to read as zeroes
    bool present = false;  ///< a layer's table or raw file states it; false: no layer has data here
    unsigned depth = 0;    ///< layer: 0 is the image itself
    bool compressed = false;     ///< data in another form, which has no offset of its own
    FileOffset file_offset{};    ///< in that layer's file, when data and not compressed
    std::string_view file_name;  ///< lives as long as the image
};

class Layer;

/// A virtual disk of `size()` bytes, stored in an image of a registered format, QED above all.
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
    LayerInfo info() const;                     ///< in every format
    Header header() const;                      ///< as last written; QED images only
    const Geometry& geometry() const noexcept;  ///< QED images only
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

    /// Moves data and tables from the end of the file into free space nearer its start, so that the
    /// next quiesce() or close() truncates the file. Requests may run meanwhile; the guest sees no
    /// difference. Call it until `has_more` is false, at moments that the caller chooses.
    ///
    /// The file becomes as short as its data, unless requests change that meanwhile. The L1 table
    /// is not moved, nor is what tables past the end of the disk name: the file then ends after
    /// them. While requests that began before the step are in flight, a step may move nothing and
    /// say that there is more: let these requests end before the next call. Until then, or until
    /// quiesce(), writes in place take a lock for each cluster.
    /// \param bytes  how much to read of tables and to move, roughly; at least one cluster, or one
    ///         table, is moved. Another step that runs at the same time is waited for
    /// \errors read_only, unsupported (not a QED image), io_error, no_space, write_stopped,
    ///         corrupt_metadata. Data is where it was, or where it was moved to; call again or not
    /// \cost   each moved byte is read and written once; two or three flushes and a few table
    ///         writes for a step; a pass over the tables for each 65,536 clusters, in pieces. A
    ///         write to a cluster that is being moved waits for its copy and for a flush. While a
    ///         table is moved (256 KiB by default), writes that allocate wait
    Task<Result<CompactStep>> compact_step(std::uint64_t bytes);
    Result<CompactStep> compact_step_blocking(std::uint64_t bytes);

    /// Moves data so that what is adjacent on the disk is adjacent in the file, one window of
    /// `bytes` of the file after the other. Tables stay where they are. Call it until `has_more` is
    /// false; compact_step() then removes free space between the data. Requests may run meanwhile,
    /// but what they change is not in order.
    /// \param bytes  of a window, roughly; at most 65,536 clusters count. The file grows by so much
    /// \errors, and requests that are in flight: as for compact_step()
    /// \cost   in all, at most twice the data is read and written. For each window, the tables from
    ///         its first cluster of the disk onwards are read; a few flushes
    Task<Result<SortStep>> sort_step(std::uint64_t bytes);
    Result<SortStep> sort_step_blocking(std::uint64_t bytes);

    /// Quiesces the image, then truncates free space at the end of the file. The image cannot be
    /// used afterwards; its destructor releases the locks. Without close(), NEED_CHECK stays set if
    /// it was set.
    Result<void> close();

private:
    explicit Image(std::shared_ptr<Layer> layer);
    friend struct ImageAccess;
    std::shared_ptr<Layer> layer_;
    std::unique_ptr<Image> backing_;  // the same for the next layer
};

}  // namespace qed
