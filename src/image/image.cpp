// SPDX-License-Identifier: Apache-2.0
#include "qed/image.hpp"

#include <fmt/format.h>

#include "base/math.hpp"
#include "base/no_throw.hpp"
#include "chain/image_core.hpp"
#include "formats/qed/image_identity.hpp"
#include "formats/qed/qed_layer.hpp"
#include "formats/raw/raw_layer.hpp"
#include "qed/map.hpp"

// Image forwards to its layer. The blocking forms try what needs no coroutine first.

namespace qed {

Image::Image(std::unique_ptr<ImageCore> core) noexcept : core_(std::move(core)) {}
Image::~Image() = default;

Task<Result<std::unique_ptr<Image>>> Image::open_file(std::unique_ptr<BlockFile> file,
                                                      std::shared_ptr<Image> backing,
                                                      OpenOptions options) {
    Result<ImageIdentity> identity = co_await identify(*file);
    if (!identity) co_return pass(identity);
    Result<std::unique_ptr<ImageCore>> core =
        co_await QedLayer::open(std::move(file), std::move(*identity), std::move(backing), options);
    if (!core) co_return pass(core);
    co_return ImageCore::wrap(std::move(*core));
}

Result<std::unique_ptr<Image>> Image::open_raw(std::unique_ptr<BlockFile> file) {
    return without_throwing([&]() -> Result<std::unique_ptr<Image>> {
        const Result<std::uint64_t> bytes = file->size();
        if (!bytes) return std::unexpected(bytes.error().clone());
        // A raw file that ends within a sector reads as if it were padded with zeroes.
        const std::uint64_t rounded = round_up(*bytes, kSectorBytes);
        return ImageCore::wrap(std::make_unique<RawLayer>(std::move(file), rounded));
    });
}

std::uint64_t Image::size() const noexcept {
    return core_->size();
}
bool Image::is_writable() const noexcept {
    return core_->is_writable();
}
bool Image::is_raw() const noexcept {
    return core_->geometry() == nullptr;
}
Header Image::header() const {
    return *core_->header();
}
const Geometry& Image::geometry() const noexcept {
    return *core_->geometry();
}
std::string_view Image::file_name() const noexcept {
    return core_->file().name();
}
std::string Image::backing_name() const {
    return core_->backing_name();
}
BlockFile& Image::file() noexcept {
    return core_->file();
}
Image* Image::backing() const noexcept {
    return core_->backing();
}
unsigned Image::depth() const noexcept {
    return core_->depth();
}
Stats Image::stats() const {
    return core_->stats();
}

Task<Result<void>> Image::read(GuestOffset offset, std::span<std::byte> buffer) {
    return core_->read(offset, buffer);
}
Result<void> Image::read_blocking(GuestOffset offset, std::span<std::byte> buffer) {
    return without_throwing([&] { return core_->read_blocking(offset, buffer); });
}

Task<Result<void>> Image::write(GuestOffset offset, std::span<const std::byte> data,
                                WriteFlags flags) {
    return core_->write(offset, data, flags);
}
Result<void> Image::write_blocking(GuestOffset offset, std::span<const std::byte> data,
                                   WriteFlags flags) {
    return without_throwing([&]() -> Result<void> {
        if (flags == WriteFlags::none) {
            if (auto done = core_->write_in_place(offset, data)) return std::move(*done);
        }
        return sync_wait(core_->write(offset, data, flags));
    });
}

Task<Result<void>> Image::write_zeroes(GuestOffset offset, std::uint64_t length, WriteFlags flags) {
    return core_->write_zeroes(offset, length, flags);
}
Result<void> Image::write_zeroes_blocking(GuestOffset offset, std::uint64_t length,
                                          WriteFlags flags) {
    return sync_wait(core_->write_zeroes(offset, length, flags));
}

Task<Result<void>> Image::discard(GuestOffset offset, std::uint64_t length) {
    return core_->discard(offset, length);
}
Result<void> Image::discard_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(core_->discard(offset, length));
}

Task<Result<void>> Image::flush() {
    return core_->flush();
}
Result<void> Image::flush_blocking() {
    return sync_wait(core_->flush());
}

Task<Result<void>> Image::prefetch(GuestOffset offset, std::uint64_t length) {
    return core_->prefetch(offset, length);
}
Result<void> Image::prefetch_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(core_->prefetch(offset, length));
}

Task<Result<Extent>> Image::extent_at(GuestOffset offset, std::uint64_t length) {
    return core_->extent_at(offset, length);
}
Result<Extent> Image::extent_at_blocking(GuestOffset offset, std::uint64_t length) {
    return sync_wait(core_->extent_at(offset, length));
}

Task<Result<MappedExtent>> Image::map(GuestOffset offset, std::uint64_t length) {
    return core_->map(offset, length);
}
Result<MappedExtent> Image::map_blocking(GuestOffset offset, std::uint64_t length) {
    MappedExtent extent;
    extent.start = offset.value;
    auto found = map_extents(*this, offset, length, std::span(&extent, 1));
    if (!found) return pass(found);
    return extent;
}

Task<Result<void>> Image::resize(std::uint64_t image_bytes, bool allow_data_loss) {
    return core_->resize(image_bytes, allow_data_loss);
}
Result<void> Image::resize_blocking(std::uint64_t image_bytes, bool allow_data_loss) {
    return sync_wait(core_->resize(image_bytes, allow_data_loss));
}

Task<Result<void>> Image::set_backing_name(const char* name, BackingFormat format) {
    return core_->set_backing_name(name, format);
}
Result<void> Image::set_backing_name_blocking(const char* name, BackingFormat format) {
    return sync_wait(core_->set_backing_name(name, format));
}

Task<Result<void>> Image::settle() {
    return core_->settle();
}
Result<void> Image::settle_blocking() {
    return sync_wait(core_->settle());
}

Result<void> Image::close() {
    Result<void> done = sync_wait(core_->settle());
    if (done) done = sync_wait(core_->finish());
    return done;
}

}  // namespace qed
