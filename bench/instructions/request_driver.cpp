// SPDX-License-Identifier: Apache-2.0
// The requests whose instructions scripts/instructions.py counts: one thread, blocking calls,
// always the same offsets. callgrind collects in the functions named measured_* only, so that
// opening, warming up and closing are left out. Usage: request_driver FOLDER REQUESTS
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qed/files.hpp"
#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kDiskBytes = std::uint64_t{128} << 20;
constexpr std::uint64_t kHalf = kDiskBytes / 2;  // the front has data, the back has none

void require(const Result<void>& done) {
    if (done) return;
    std::fprintf(stderr, "request_driver: %s\n", done.error().message().c_str());
    std::exit(1);
}

std::unique_ptr<Image> make_image(const std::string& path) {
    CreateOptions create;
    create.image_bytes = kDiskBytes;
    require(Image::create(path, create));
    OpenOptions open;
    open.writable = true;
    open.ignore_flush = true;  // a flush would only add the disk's time
    auto image = Image::open(path, open);
    if (!image) require(pass(image));
    ::unlink(path.c_str());
    return std::move(*image);
}

/// An overlay of a raw file of the same size, which reads as zeroes.
std::unique_ptr<Image> make_overlay(const std::string& path, WriteOrder order) {
    const std::string base_path = path + ".base";
    FileOptions made;
    made.writable = true;
    made.create = true;
    auto base_file = open_file(base_path, made);
    if (!base_file) require(pass(base_file));
    require((*base_file)->truncate(kDiskBytes).run_blocking());
    auto base = Image::open_raw(std::move(*base_file));
    if (!base) require(pass(base));

    CreateOptions create;
    create.image_bytes = kDiskBytes;
    create.backing_name = "base";
    create.backing_format = BackingFormat::raw;
    create.check_backing = false;
    require(Image::create(path, create));
    FileOptions writable;
    writable.writable = true;
    auto file = open_file(path, writable);
    if (!file) require(pass(file));
    OpenOptions open;
    open.writable = true;
    open.ignore_flush = true;
    open.order = order;
    auto image = sync_wait(Image::open_file(std::move(*file), std::move(*base), open));
    if (!image) require(pass(image));
    ::unlink(path.c_str());
    ::unlink(base_path.c_str());
    return std::move(*image);
}

/// Scattered blocks of the half of the disk that starts at `begin`; no block repeats before all
/// were used.
GuestOffset block_at(std::uint64_t number, std::uint64_t begin) {
    constexpr std::uint64_t kOddStep = 100003;
    return GuestOffset{begin + number * kOddStep % (kHalf / kBlockBytes) * kBlockBytes};
}

void use_each_once(Image& image, std::span<std::byte> block) {
    require(image.write_blocking(GuestOffset{0}, block));
    require(image.write_blocking(GuestOffset{0}, block));
    require(image.read_blocking(GuestOffset{0}, block));
    require(image.read_blocking(GuestOffset{kHalf}, block.first(1)));
    require(sync_wait(image.read(GuestOffset{0}, block)));
}

}  // namespace

// Not in the unnamed namespace, and not inlined: callgrind finds them by name.

[[gnu::noinline]] void measured_hit(Image& image, std::span<std::byte> byte, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
        require(image.read_blocking(block_at(i, kHalf), byte));
}

[[gnu::noinline]] void measured_cached_read(Image& image, std::span<std::byte> block,
                                            std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
        require(image.read_blocking(block_at(i, 0), block));
}

[[gnu::noinline]] void measured_awaited_read(Image& image, std::span<std::byte> block,
                                             std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
        require(sync_wait(image.read(block_at(i, 0), block)));
}

[[gnu::noinline]] void measured_write_in_place(Image& image, std::span<const std::byte> block,
                                               std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
        require(image.write_blocking(block_at(i, 0), block));
}

[[gnu::noinline]] void measured_allocating_write(Image& image, std::span<const std::byte> block,
                                                 std::uint64_t count) {
    for (std::uint64_t i = 1; i <= count; ++i)
        require(image.write_blocking(GuestOffset{i * kDefaultClusterBytes}, block));
}

[[gnu::noinline]] void measured_write_over_base(Image& image, std::span<const std::byte> block,
                                                std::uint64_t count) {
    for (std::uint64_t i = 1; i <= count; ++i)
        require(image.write_blocking(GuestOffset{i * kDefaultClusterBytes + kBlockBytes}, block));
}

[[gnu::noinline]] void measured_deferred_write(Image& image, std::span<const std::byte> block,
                                               std::uint64_t count) {
    for (std::uint64_t i = 1; i <= count; ++i)
        require(image.write_blocking(GuestOffset{i * kDefaultClusterBytes + kBlockBytes}, block));
}

int main(int argc, char** argv) {
    std::uint64_t count = 0;
    const std::string_view number = argc == 3 ? argv[2] : "";
    std::from_chars(number.data(), number.data() + number.size(), count);
    constexpr std::uint64_t kMaxRequests = kHalf / kDefaultClusterBytes - 1;
    if (count == 0 || count > kMaxRequests) {
        std::fprintf(stderr, "usage: request_driver FOLDER REQUESTS (1 to %d)\n",
                     static_cast<int>(kMaxRequests));
        return 2;
    }
    std::vector<std::byte> block(kBlockBytes, std::byte{0x5a});
    const auto image = make_image(std::string(argv[1]) + "/requests.qed");
    // Neither first uses nor filling the disk are counted.
    use_each_once(*image, block);
    measured_allocating_write(*image, block, count);
    for (std::uint64_t at = 0; at < kHalf; at += kDefaultClusterBytes)
        require(image->write_blocking(GuestOffset{at}, block));
    measured_hit(*image, std::span(block).first(1), count);
    measured_cached_read(*image, block, count);
    measured_awaited_read(*image, block, count);
    measured_write_in_place(*image, block, count);
    require(image->close());

    const auto strict = make_overlay(std::string(argv[1]) + "/strict.qed", WriteOrder::strict);
    require(strict->write_blocking(GuestOffset{0}, block));
    measured_write_over_base(*strict, block, count);
    require(strict->close());
    const auto deferred = make_overlay(std::string(argv[1]) + "/later.qed", WriteOrder::deferred);
    require(deferred->write_blocking(GuestOffset{0}, block));
    measured_deferred_write(*deferred, block, count);
    require(deferred->close());
    return 0;
}
