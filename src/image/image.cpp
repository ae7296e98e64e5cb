// SPDX-License-Identifier: Apache-2.0
#include "qed/image.hpp"

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/no_throw.hpp"
#include "chain/chain_opener.hpp"
#include "chain/file_head.hpp"
#include "chain/layer.hpp"
#include "formats/qed/layer.hpp"
#include "formats/raw/raw_layer.hpp"
#include "formats/registry/registry.hpp"
#include "image/image_access.hpp"
#include "image/image_map.hpp"
#include "qed/map.hpp"

// Image forwards to its layer. The blocking forms first try the paths that need no coroutine.

namespace qed {
namespace {

/// The backing layer that the caller of open_file() supplies.
class GivenBacking final : public BackingOpener {
public:
    explicit GivenBacking(std::shared_ptr<Layer> layer) : layer_(std::move(layer)) {}
    Task<Result<std::shared_ptr<Layer>>> open(BackingReference) override {
        co_return std::move(layer_);
    }

private:
    std::shared_ptr<Layer> layer_;
};

const QedLayer& qed_layer(const Layer& layer) {
    const auto* qed = dynamic_cast<const QedLayer*>(&layer);
    QED_ASSERT(qed != nullptr);
    return *qed;
}

}  // namespace

Image::Image(std::shared_ptr<Layer> layer) : layer_(std::move(layer)) {
    if (layer_->backing() != nullptr) backing_.reset(new Image(layer_->backing()));
}
Image::~Image() = default;

Result<std::unique_ptr<Image>> Image::open(const std::string& path, const OpenOptions& options) {
    return without_throwing([&]() -> Result<std::unique_ptr<Image>> {
        auto layer = sync_wait(open_chain(format_registry(), path, options));
        if (!layer) return pass(layer);
        return ImageAccess::make(std::move(*layer));
    });
}

Task<Result<std::unique_ptr<Image>>> Image::open_file(std::unique_ptr<BlockFile> file,
                                                      std::shared_ptr<Image> backing,
                                                      OpenOptions options) {
    const Result<FileHead> head = co_await FileHead::read(*file);
    if (!head) co_return std::unexpected(head.error().clone());
    const FormatDriver* driver = format_registry().recognise(head->bytes());
    GivenBacking given(backing != nullptr ? backing->layer_ : nullptr);
    auto layer = co_await driver->open(std::move(file), head->bytes(), given, options);
    if (!layer) co_return pass(layer);
    co_return ImageAccess::make(std::move(*layer));
}

Result<std::unique_ptr<Image>> Image::open_raw(std::unique_ptr<BlockFile> file) {
    return without_throwing([&]() -> Result<std::unique_ptr<Image>> {
        auto layer = RawLayer::open(std::move(file));
        if (!layer) return pass(layer);
        return ImageAccess::make(std::move(*layer));
    });
}

std::uint64_t Image::size() const noexcept {
    return layer_->size();
}
bool Image::is_writable() const noexcept {
    return layer_->is_writable();
}
bool Image::is_raw() const noexcept {
    return layer_->format() == RawLayer::kFormat;
}
LayerInfo Image::info() const {
    return layer_->info();
}
Header Image::header() const {
    return qed_layer(*layer_).header();
}
const Geometry& Image::geometry() const noexcept {
    return qed_layer(*layer_).geometry();
}
std::string_view Image::file_name() const noexcept {
    return layer_->file().name();
}
std::string Image::backing_name() const {
    return layer_->info().backing.name;
}
BlockFile& Image::file() noexcept {
    return layer_->file();
}
Image* Image::backing() const noexcept {
    return backing_.get();
}
unsigned Image::depth() const noexcept {
    return layer_->depth();
}
Stats Image::stats() const {
    return layer_->stats();
}

Task<Result<void>> Image::read(GuestOffset offset, std::span<std::byte> buffer) {
    return layer_->read(offset, buffer);
}
Result<void> Image::read_blocking(GuestOffset offset, std::span<std::byte> buffer) {
    return without_throwing([&] { return layer_->read_blocking(offset, buffer); });
}

Task<Result<void>> Image::write(GuestOffset offset, std::span<const std::byte> data,
                                WriteFlags flags) {
    return layer_->write(offset, data, flags, {});
}
Result<void> Image::write_blocking(GuestOffset offset, std::span<const std::byte> data,
                                   WriteFlags flags) {
    return without_throwing([&]() -> Result<void> {
        Mapping seen;
        if (flags == WriteFlags::none) {
            Result<void> tried = layer_->try_write_in_place(offset, data, seen);
            if (!tried || seen.writable_in_place) return tried;
        }
        return sync_wait(layer_->write(offset, data, flags, seen));
    });
}

Task<Result<void>> Image::write_zeroes(GuestOffset offset, std::uint64_t length, WriteFlags flags) {
    return layer_->write_zeroes(offset, length, flags);
}
Result<void> Image::write_zeroes_blocking(GuestOffset offset, std::uint64_t length,
                                          WriteFlags flags) {
    return sync_wait(layer_->write_zeroes(offset, length, flags));
}

Task<Result<void>> Image::discard(GuestOffset offset, std::uint64_t length) {
    return layer_->discard(offset, length);
}
Result<void> Image::discard_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(layer_->discard(offset, length));
}

Task<Result<void>> Image::flush() {
    return layer_->flush();
}
Result<void> Image::flush_blocking() {
    return sync_wait(layer_->flush());
}

Task<Result<void>> Image::prefetch(GuestOffset offset, std::uint64_t length) {
    return layer_->prefetch(offset, length);
}
Result<void> Image::prefetch_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(layer_->prefetch(offset, length));
}

Task<Result<Mapping>> Image::extent_at(GuestOffset offset, std::uint64_t length) {
    return layer_->mapping_at(offset, length);
}
Result<Mapping> Image::extent_at_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(layer_->mapping_at(offset, length));
}

Task<Result<MappedExtent>> Image::map(GuestOffset offset, std::uint64_t length) {
    return map_first(*layer_, offset, length);
}
Result<MappedExtent> Image::map_blocking(GuestOffset offset, std::uint64_t length) {
    MappedExtent extent;
    extent.start = offset.value;
    auto found = map_extents(*this, offset, length, std::span(&extent, 1));
    if (!found) return pass(found);
    return extent;
}

Task<Result<void>> Image::resize(std::uint64_t image_bytes, bool allow_data_loss) {
    return layer_->resize(image_bytes, allow_data_loss);
}
Result<void> Image::resize_blocking(std::uint64_t image_bytes, bool allow_data_loss) {
    return sync_wait(layer_->resize(image_bytes, allow_data_loss));
}

Task<Result<void>> Image::set_backing_name(const char* name, BackingFormat format) {
    if (name != nullptr && *name == '\0') {
        co_return fail(Errc::invalid_argument, "a backing file name has at least 1 byte");
    }
    BackingReference backing;
    if (name != nullptr) backing.name = name;
    if (name != nullptr) backing.format = format;
    co_return co_await layer_->set_backing(std::move(backing));
}
Result<void> Image::set_backing_name_blocking(const char* name, BackingFormat format) {
    return sync_wait(set_backing_name(name, format));
}

Task<Result<void>> Image::quiesce() {
    return layer_->quiesce(false);
}
Result<void> Image::quiesce_blocking() {
    return sync_wait(layer_->quiesce(false));
}

Task<Result<CompactStep>> Image::compact_step(std::uint64_t bytes) {
    return layer_->compact_step(bytes);
}
Result<CompactStep> Image::compact_step_blocking(std::uint64_t bytes) {
    return sync_wait(layer_->compact_step(bytes));
}

Task<Result<SortStep>> Image::sort_step(std::uint64_t bytes) {
    return layer_->sort_step(bytes);
}
Result<SortStep> Image::sort_step_blocking(std::uint64_t bytes) {
    return sync_wait(layer_->sort_step(bytes));
}

Result<void> Image::close() {
    return sync_wait(layer_->quiesce(true));
}

}  // namespace qed
