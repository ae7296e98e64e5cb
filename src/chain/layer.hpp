// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/table_cache.hpp"
#include "chain/chain_index.hpp"
#include "engine/request_epochs.hpp"
#include "qed/image.hpp"

namespace qed {

/// Where the first bytes of a guest range are, after looking through the chain.
struct Located {
    enum class Kind : std::uint8_t {
        data,  ///< at `file_offset` in `layer`'s file
        zero,  ///< reads as zeroes
        miss,  ///< `layer` has to load a table slice first
        bad,   ///< `layer`'s tables break the format's rules here
    } kind = Kind::zero;
    class Layer* layer = nullptr;  ///< null for zeroes that no layer states
    std::uint64_t file_offset = 0;
    std::uint64_t length = 0;
    unsigned depth = 0;
    Lookup::Kind found = Lookup::Kind::unallocated;  ///< what that layer says
};

/// One layer of a chain: a QED image or a raw file. What is the same for both is here: reading
/// through the chain. The rest is RawLayer's and QedLayer's.
class Layer {
public:
    Layer(std::unique_ptr<BlockFile> file, std::shared_ptr<Image> backing);
    virtual ~Layer();
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;

    static Layer& of(Image& image) { return *image.layer_; }
    static std::unique_ptr<Image> wrap(std::unique_ptr<Layer> layer);

    BlockFile& file() const noexcept { return *file_; }
    Image* backing() const noexcept { return backing_.get(); }
    unsigned depth() const noexcept { return static_cast<unsigned>(below_.size()); }

    virtual std::uint64_t size() const noexcept = 0;
    virtual bool is_writable() const noexcept = 0;
    virtual std::optional<Header> header() const { return std::nullopt; }
    virtual const Geometry* geometry() const noexcept { return nullptr; }
    virtual std::string backing_name() const { return {}; }
    virtual Stats stats() const = 0;

    /// This layer alone: no I/O; at most `length` > 0 bytes inside the image.
    virtual Lookup find(GuestOffset at, std::uint64_t length) noexcept = 0;
    /// TableCache::find_runs(), where this layer has tables.
    virtual std::size_t find_runs(GuestOffset, std::uint64_t, std::span<Lookup>) noexcept {
        return 0;
    }
    virtual Task<Result<Lookup>> load(GuestOffset at, std::uint64_t length) = 0;
    /// The error for a range that find() called bad.
    virtual Error bad_entry_error(GuestOffset at, Lookup::Kind kind) = 0;
    virtual RequestEpochs::Guard enter() noexcept { return {}; }
    virtual void count_read(std::uint64_t bytes) noexcept = 0;
    /// Unallocated bytes of an image whose backing file was not opened cannot be read.
    virtual bool lacks_backing() const noexcept { return false; }

    Result<void> check_range(GuestOffset at, std::uint64_t length) const;
    /// Of this layer's file and of those below it.
    std::uint64_t mapped_bytes() const noexcept;
    /// The first extent of [at, at + length) through the chain, as far as memory knows.
    Located locate(GuestOffset at, std::uint64_t length) noexcept;
    /// The same, loading what is missing: the answer is never a miss.
    Task<Result<Located>> locate_loading(GuestOffset at, std::uint64_t length);

    Task<Result<void>> read(GuestOffset at, std::span<std::byte> buffer);
    Result<void> read_blocking(GuestOffset at, std::span<std::byte> buffer);
    Task<Result<MappedExtent>> map(GuestOffset at, std::uint64_t length);
    Task<Result<Extent>> extent_at(GuestOffset at, std::uint64_t length);
    Task<Result<void>> prefetch(GuestOffset at, std::uint64_t length);

    virtual Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data,
                                     WriteFlags flags) = 0;
    /// In place where memory knows all of the range; nullopt: use write().
    virtual std::optional<Result<void>> write_in_place(GuestOffset at,
                                                       std::span<const std::byte> data) = 0;
    virtual Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                            WriteFlags flags) = 0;
    virtual Task<Result<void>> discard(GuestOffset at, std::uint64_t length) = 0;
    virtual Task<Result<void>> flush() = 0;
    virtual Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) = 0;
    virtual Task<Result<void>> set_backing_name(const char* name, BackingFormat format) = 0;
    virtual Task<Result<void>> quiesce() = 0;
    /// After quiesce(), nothing else under way: the file may be cut and is let go.
    virtual Task<Result<void>> finish() = 0;

protected:
    Located located(const Lookup& found, unsigned depth) noexcept;
    Task<Result<void>> read_range(GuestOffset at, std::span<std::byte> buffer);
    Result<void> cannot_read(const Located& where, GuestOffset at);

    /// Called once the size of a slice is known.
    void start_index(unsigned span_bits) { index_.start(below_, span_bits, size()); }

    std::unique_ptr<BlockFile> file_;
    std::shared_ptr<Image> backing_;
    std::vector<Layer*> below_;  // all layers under this one, nearest first
    ChainIndex index_;
};

}  // namespace qed
