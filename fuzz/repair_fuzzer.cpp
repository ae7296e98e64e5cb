// SPDX-License-Identifier: Apache-2.0
// Any bytes as an image, repaired: all data that could be read before reads the same afterwards,
// and a second and a third check find nothing that the repair should have repaired.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "image_mutator.hpp"
#include "input_file.hpp"
#include "qed/check.hpp"
#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr std::size_t kMaxClusters = 600;
constexpr std::uint64_t kBytesOfEach = 600;

using Content = std::map<std::uint64_t, std::vector<std::byte>>;

std::unique_ptr<Image> open(std::span<const std::uint8_t> bytes) {
    OpenOptions options;
    options.lock = LockMode::none;
    auto image = sync_wait(Image::open_file(fuzz::file_of(bytes), nullptr, options));
    return image ? std::move(*image) : nullptr;
}

/// The start of each of the first clusters that can be read, by guest offset.
Content readable(std::span<const std::uint8_t> bytes) {
    Content content;
    const auto image = open(bytes);
    if (image == nullptr) return content;
    const std::uint64_t cluster = image->geometry().cluster_bytes();
    const std::uint64_t span = image->geometry().table_span_bytes();
    std::size_t left = kMaxClusters;
    for (std::uint64_t at = 0; at < image->size() && left > 0; --left) {
        const auto extent = image->extent_at_blocking({at}, std::min(span, image->size() - at));
        if (extent && extent->kind == Mapping::Kind::unallocated) {
            at = (at + extent->length + cluster - 1) / cluster * cluster;
            continue;
        }
        std::vector<std::byte> data(std::min(kBytesOfEach, image->size() - at));
        if (extent && image->read_blocking({at}, data)) content[at] = std::move(data);
        at += cluster;
    }
    return content;
}

void repair(std::span<const std::uint8_t> input, Repair what) {
    const CheckOptions look;
    const auto file = fuzz::file_of(input);
    const auto before = sync_wait(check_file(*file, look));
    if (!before) return;  // an unusable header
    CheckOptions mend;
    mend.repair = what;
    const auto repaired = sync_wait(check_file(*file, mend));
    if (!repaired) return;  // no space left for copies
    const auto result = file->load(0, file->bytes());

    for (const auto& [at, data] : readable(input)) {
        const auto image = open(fuzz::bytes_of(result));
        if (image == nullptr) __builtin_trap();
        std::vector<std::byte> now(data.size());
        if (!image->read_blocking({at}, now) || now != data) __builtin_trap();
    }
    for (int again = 0; again < 2; ++again) {
        const auto found = sync_wait(check_file(*file, look));
        if (!found) __builtin_trap();
        if (found->corruptions != repaired->corruptions) __builtin_trap();
        if (found->leaks != repaired->leaks) __builtin_trap();
    }
    if (what == Repair::all && repaired->corruptions == 0 && repaired->leaks > 0) __builtin_trap();
    if (repaired->corruptions == 0 && repaired->is_dirty) __builtin_trap();
    if (file->load(0, file->bytes()) != result)
        __builtin_trap();  // a check must not change the file
}

}  // namespace

std::size_t qed::fuzz::image_at() noexcept {
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const Repair what : {Repair::all, Repair::entries, Repair::leaks})
        repair(std::span(data, size), what);
    return 0;
}
