// SPDX-License-Identifier: Apache-2.0
#include "qed/image.hpp"

#include <fmt/format.h>

#include "base/math.hpp"
#include "base/no_throw.hpp"
#include "chain/layer.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/qed_layer.hpp"
#include "formats/raw/raw_layer.hpp"
#include "qed/map.hpp"

// Image forwards to its layer. The blocking forms first try the paths that need no coroutine.

namespace qed {

Image::Image(std::unique_ptr<Layer> layer) noexcept : layer_(std::move(layer)) {}
Image::~Image() = default;

Task<Result<std::unique_ptr<Image>>> Image::open_file(std::unique_ptr<BlockFile> file,
                                                      std::shared_ptr<Image> backing,
                                                      OpenOptions options) {
    Result<HeaderInfo> info = co_await read_header(*file);
    if (!info) co_return pass(info);
    Result<std::unique_ptr<Layer>> layer =
        co_await QedLayer::open(std::move(file), std::move(*info), std::move(backing), options);
    if (!layer) co_return pass(layer);
    co_return Layer::wrap(std::move(*layer));
}

Result<std::unique_ptr<Image>> Image::open_raw(std::unique_ptr<BlockFile> file) {
    return without_throwing([&]() -> Result<std::unique_ptr<Image>> {
        const Result<std::uint64_t> bytes = file->size();
        if (!bytes) return std::unexpected(bytes.error().clone());
        // A raw file that ends within a sector reads as if it were padded with zeroes.
        const std::uint64_t rounded = round_up(*bytes, kSectorBytes);
        return Layer::wrap(std::make_unique<RawLayer>(std::move(file), rounded));
    });
}

std::uint64_t Image::size() const noexcept {
    return layer_->size();
}
bool Image::is_writable() const noexcept {
    return layer_->is_writable();
}
bool Image::is_raw() const noexcept {
    return layer_->geometry() == nullptr;
}
Header Image::header() const {
    return *layer_->header();
}
const Geometry& Image::geometry() const noexcept {
    return *layer_->geometry();
}
std::string_view Image::file_name() const noexcept {
    return layer_->file().name();
}
std::string Image::backing_name() const {
    return layer_->backing_name();
}
BlockFile& Image::file() noexcept {
    return layer_->file();
}
Image* Image::backing() const noexcept {
    return layer_->backing();
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
    return layer_->write(offset, data, flags);
}
Result<void> Image::write_blocking(GuestOffset offset, std::span<const std::byte> data,
                                   WriteFlags flags) {
    return without_throwing([&]() -> Result<void> {
        if (flags == WriteFlags::none) {
            if (auto done = layer_->write_in_place(offset, data)) return std::move(*done);
        }
        return sync_wait(layer_->write(offset, data, flags));
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
    return layer_->extent_at(offset, length);
}
Result<Mapping> Image::extent_at_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(layer_->extent_at(offset, length));
}

Task<Result<MappedExtent>> Image::map(GuestOffset offset, std::uint64_t length) {
    return layer_->map(offset, length);
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
    return layer_->set_backing_name(name, format);
}
Result<void> Image::set_backing_name_blocking(const char* name, BackingFormat format) {
    return sync_wait(layer_->set_backing_name(name, format));
}

Task<Result<void>> Image::quiesce() {
    return layer_->quiesce();
}
Result<void> Image::quiesce_blocking() {
    return sync_wait(layer_->quiesce());
}

Result<void> Image::close() {
    Result<void> done = sync_wait(layer_->quiesce());
    if (done) done = sync_wait(layer_->finish());
    return done;
}

}  // namespace qed
