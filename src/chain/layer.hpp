// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chain/chain_index.hpp"
#include "chain/chain_mapping.hpp"
#include "engine/request_epochs.hpp"
#include "qed/image.hpp"

namespace qed {

/// One layer of a chain: a QED image or a raw file. What is the same for both is here: reading
/// through the chain. The rest is done by the layer of each format.
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
    virtual Mapping find(GuestOffset at, std::uint64_t length) noexcept = 0;
    /// Consecutive results of find(), at most `found.size()`, from one look at this layer's tables.
    /// \returns how many; 0: ask find()
    virtual std::size_t find_many(GuestOffset, std::uint64_t, std::span<Mapping>) noexcept {
        return 0;
    }
    virtual Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) = 0;
    /// Why the byte at `at`, which find() or load() called corrupt, cannot be read.
    virtual Error explain(GuestOffset at) = 0;
    virtual RequestEpochs::Guard enter() noexcept { return {}; }
    virtual void count_read(std::uint64_t bytes) noexcept = 0;
    /// Unallocated bytes of an image whose backing file was not opened cannot be read.
    virtual bool lacks_backing() const noexcept { return false; }

    Result<void> check_range(GuestOffset at, std::uint64_t length) const;
    /// Of this layer's file and of those below it.
    std::uint64_t mapped_bytes() const noexcept;
    /// The first extent of [at, at + length) through the chain, as far as memory knows.
    ChainMapping locate(GuestOffset at, std::uint64_t length) noexcept;
    /// The same, loading what is missing: the answer is never not_loaded.
    Task<Result<ChainMapping>> locate_loading(GuestOffset at, std::uint64_t length);

    Task<Result<void>> read(GuestOffset at, std::span<std::byte> buffer);
    Result<void> read_blocking(GuestOffset at, std::span<std::byte> buffer);
    Task<Result<MappedExtent>> map(GuestOffset at, std::uint64_t length);
    Task<Result<Mapping>> extent_at(GuestOffset at, std::uint64_t length);
    Task<Result<void>> prefetch(GuestOffset at, std::uint64_t length);

    /// Writes without a coroutine if memory knows that all of the range can be written in place.
    /// \returns a mapping that is writable_in_place when the data has been written; otherwise what
    ///          is known of the first bytes, for write()
    virtual Result<Mapping> try_write_in_place(GuestOffset at, std::span<const std::byte> data) = 0;
    /// \param seen  what try_write_in_place() returned, so that the layer need not ask again; or {}
    virtual Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data,
                                     WriteFlags flags, Mapping seen) = 0;
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
    Task<Result<void>> read_range(GuestOffset at, std::span<std::byte> buffer);
    /// The error for a range that is neither stored data nor zeroes.
    static Error explain_unreadable(const ChainMapping& where, GuestOffset at);

    /// Called once the size of a slice is known.
    void start_index(unsigned span_bits) { index_.start(below_, span_bits, size()); }

    std::unique_ptr<BlockFile> file_;
    std::shared_ptr<Image> backing_;
    std::vector<Layer*> below_;  // all layers under this one, nearest first
    ChainIndex index_;
};

inline bool ChainMapping::reads_as_zeroes() const noexcept {
    if (mapping.kind == Mapping::Kind::zero) return true;
    return mapping.kind == Mapping::Kind::unallocated &&
           (layer == nullptr || !layer->lacks_backing());
}

}  // namespace qed
