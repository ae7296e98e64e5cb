// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.hpp"
#include "base/mutex.hpp"
#include "chain/chain_index.hpp"
#include "chain/chain_mapping.hpp"
#include "chain/compaction.hpp"
#include "engine/request_epochs.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"
#include "qed/format.hpp"
#include "qed/mapping.hpp"
#include "qed/stats.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"
#include "qed/write_flags.hpp"

namespace qed {

enum class ImageCounter : std::uint8_t {
    reads,
    read_bytes,
    writes,
    write_bytes,
    zeroes,
    discards,
    flushes,
    count_,
};

/// The properties of a layer, known when it is constructed. Only `bytes` and `backing` change
/// later.
struct LayerTraits {
    std::string_view format;          ///< a string literal: lives as long as the program
    std::uint64_t bytes = 0;          ///< size of the virtual disk
    std::uint64_t cluster_bytes = 0;  ///< unit of allocation; 0: all of it is allocated
    BackingReference backing;
    bool is_writable = false;
    bool is_dirty = false;  ///< for LayerInfo, like the next one
    std::vector<LayerProperty> properties{};
    /// The file maps the guest's bytes one to one, so its holes are zeroes of the disk.
    bool has_file_holes = false;
};

/// One layer of a chain of disks. A format derives from it and states the mappings of its own file.
/// Everything that looks through the chain is in this class and the same for all formats.
///
/// Thread-safety: any member on any thread at any time, except that quiesce() with `closes` and
/// the destructor come last. A layer never changes while another layer has it as its backing.
class Layer {
public:
    Layer(std::unique_ptr<BlockFile> file, std::shared_ptr<Layer> backing, LayerTraits traits);
    virtual ~Layer();
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;

    BlockFile& file() const noexcept { return *file_; }
    const std::shared_ptr<Layer>& backing() const noexcept { return backing_; }
    unsigned depth() const noexcept { return static_cast<unsigned>(below_.size()); }
    std::uint64_t size() const noexcept { return bytes_.load(std::memory_order_acquire); }
    bool is_writable() const noexcept { return is_writable_; }
    bool has_file_holes() const noexcept { return has_file_holes_; }
    /// Unallocated bytes of a layer whose backing file was not opened cannot be read.
    bool lacks_backing() const noexcept { return lacks_backing_; }
    std::string_view format() const noexcept { return format_; }
    std::uint64_t cluster_bytes() const noexcept { return cluster_bytes_; }
    LayerInfo info() const;
    Stats stats() const;
    /// Each request holds one, starting before its first lookup and until its last I/O has ended.
    RequestEpochs::Guard enter() noexcept { return epochs_.enter(); }

    // The functions that a format implements. Ranges are inside the disk, and lengths are not 0,
    // unless stated otherwise. A format leaves functions that it cannot support to these defaults,
    // which fail with unsupported.

    /// The mapping of the first of `length` bytes, from memory alone: no I/O, no lock.
    virtual Mapping find(GuestOffset at, std::uint64_t length) noexcept = 0;
    /// Consecutive results of find(), at most `found.size()`, from one lookup in this layer's
    /// tables.
    /// \returns how many; 0: ask find()
    virtual std::size_t find_many(GuestOffset at, std::uint64_t length,
                                  std::span<Mapping> found) noexcept;
    /// find() after reading the metadata that is not in memory. Never not_loaded.
    virtual Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length);
    /// Reads bytes whose mapping is `encoded`.
    virtual Task<Result<void>> read_encoded(GuestOffset at, std::span<std::byte> buffer);
    /// The reason why the byte at `at`, whose mapping is `corrupt`, cannot be read.
    virtual Error explain(GuestOffset at);

    // The implementation of Image::write() and so on. These functions check the range themselves.

    /// Writes without a coroutine if memory knows that the whole range can be written in place.
    /// \param seen  a mapping that is writable_in_place if the data has been written; otherwise the
    ///         mapping of the first bytes as far as it is known, to be passed to write()
    virtual Result<void> try_write_in_place(GuestOffset at, std::span<const std::byte> data,
                                            Mapping& seen);
    /// \param seen  the mapping from try_write_in_place(), so that the layer need not look it up
    ///         again; or {}
    virtual Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data,
                                     WriteFlags flags, Mapping seen);
    virtual Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length, WriteFlags flags);
    virtual Task<Result<void>> discard(GuestOffset at, std::uint64_t length);
    virtual Task<Result<void>> flush();
    virtual Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss);
    virtual Task<Result<void>> set_backing(BackingReference backing);
    /// Image::quiesce(). With `closes`, no request is in flight or follows, so the file may be
    /// truncated.
    virtual Task<Result<void>> quiesce(bool closes);
    Task<Result<CompactStep>> compact_step(std::uint64_t bytes);
    Task<Result<SortStep>> sort_step(std::uint64_t bytes);

    // Through the chain.

    bool contains(GuestOffset at, std::uint64_t length) const noexcept {
        const std::uint64_t bytes = size();
        return at.value <= bytes && length <= bytes - at.value;
    }
    Result<void> check_range(GuestOffset at, std::uint64_t length) const;
    /// The first mapping of [at, at + length) through the chain, from memory alone.
    ChainMapping locate(GuestOffset at, std::uint64_t length) noexcept;
    /// The same, after loading metadata that is not in memory: never not_loaded.
    Task<Result<ChainMapping>> locate_loading(GuestOffset at, std::uint64_t length);
    /// This layer's own mapping, loaded and not corrupt.
    Task<Result<Mapping>> mapping_at(GuestOffset at, std::uint64_t length);
    /// The error for a range that is neither stored nor zeroes.
    static Error explain_unreadable(const ChainMapping& where, GuestOffset at);

    Task<Result<void>> read(GuestOffset at, std::span<std::byte> buffer);
    Result<void> read_blocking(GuestOffset at, std::span<std::byte> buffer);
    Task<Result<void>> prefetch(GuestOffset at, std::uint64_t length);

protected:
    /// Adds the format's counters to those that all layers have.
    virtual void add_to(Stats&) const {}
    void set_backing_reference(BackingReference backing);
    /// Called by the constructor of a format that has it.
    void set_compaction(Compaction& compaction) noexcept { compaction_ = &compaction; }
    std::string backing_name() const { return info().backing.name; }
    /// Called once, when the size of a table slice is known.
    void start_index(unsigned span_bits) { index_.start(below_, span_bits, size()); }

    std::unique_ptr<BlockFile> file_;
    std::shared_ptr<Layer> backing_;
    std::atomic<std::uint64_t> bytes_;
    RequestEpochs epochs_;
    Counters<ImageCounter> counters_;

private:
    void count_read(std::uint64_t bytes) noexcept {
        counters_.add(ImageCounter::reads);
        counters_.add(ImageCounter::read_bytes, bytes);
    }
    Task<Result<void>> read_range(GuestOffset at, std::span<std::byte> buffer, bool is_request);
    std::unexpected<Error> unsupported(const char* what) const;

    std::vector<Layer*> below_;  // all layers below this one, nearest first
    ChainIndex index_;
    Compaction* compaction_ = nullptr;
    const std::string_view format_;
    const std::uint64_t cluster_bytes_;
    const bool is_writable_;
    const bool has_file_holes_;
    const bool lacks_backing_;
    const bool is_dirty_;
    const std::vector<LayerProperty> properties_;
    mutable Mutex reference_mutex_;
    BackingReference reference_ QED_GUARDED_BY(reference_mutex_);
};

inline bool ChainMapping::reads_as_zeroes() const noexcept {
    if (mapping.kind == Mapping::Kind::zero) return true;
    return mapping.kind == Mapping::Kind::unallocated &&
           (layer == nullptr || !layer->lacks_backing());
}

}  // namespace qed
