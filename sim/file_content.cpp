// SPDX-License-Identifier: Apache-2.0
#include "sim/file_content.hpp"

#include <algorithm>
#include <cstring>

#include "base/endian.hpp"
#include "sim/random.hpp"

namespace qed::sim {

std::uint64_t hash_bytes(std::span<const std::byte> bytes) noexcept {
    // Four independent lanes, so that the throughput of multiplications limits the loop, not their
    // latency.
    constexpr std::uint64_t kMultiplier = 0x9FB21C651E98DF25U;
    std::array<std::uint64_t, 4> lanes{1, 2, 3, bytes.size()};
    std::size_t at = 0;
    for (; at + 32 <= bytes.size(); at += 32) {
        for (std::size_t lane = 0; lane < 4; ++lane) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes.data() + at + lane * 8, 8);
            lanes[lane] = (lanes[lane] ^ word) * kMultiplier;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    }
    for (; at < bytes.size(); ++at) {
        lanes[0] = (lanes[0] ^ static_cast<std::uint64_t>(bytes[at])) * kMultiplier;
    }
    std::uint64_t hash = 0;
    for (const std::uint64_t lane : lanes)
        hash = mix(hash ^ lane);
    return hash;
}

FileContent::Page& FileContent::PageRef::own() {
    if (page_ == nullptr) {
        page_ = new Page;
    } else if (page_->references > 1) {
        Page* copy = new Page(*page_);
        copy->references = 1;
        --page_->references;
        page_ = copy;
    }
    page_->is_hashed = false;
    return *page_;
}

void FileContent::resize(std::uint64_t bytes) {
    if (bytes < size_) zero(bytes, size_ - bytes);
    pages_.resize((bytes + kPageBytes - 1) / kPageBytes);
    size_ = bytes;
}

void FileContent::read(std::uint64_t offset, std::span<std::byte> buffer) const noexcept {
    while (!buffer.empty()) {
        const std::uint64_t in_page = offset % kPageBytes;
        const std::size_t bytes = std::min<std::uint64_t>(buffer.size(), kPageBytes - in_page);
        const std::uint64_t index = offset / kPageBytes;
        const Page* page = index < pages_.size() ? pages_[index].get() : nullptr;
        if (page != nullptr) {
            std::memcpy(buffer.data(), page->bytes.data() + in_page, bytes);
        } else {
            std::memset(buffer.data(), 0, bytes);
        }
        offset += bytes;
        buffer = buffer.subspan(bytes);
    }
}

void FileContent::write(std::uint64_t offset, std::span<const std::byte> data) {
    if (offset + data.size() > size_) resize(offset + data.size());
    while (!data.empty()) {
        const std::uint64_t in_page = offset % kPageBytes;
        const std::size_t bytes = std::min<std::uint64_t>(data.size(), kPageBytes - in_page);
        std::memcpy(pages_[offset / kPageBytes].own().bytes.data() + in_page, data.data(), bytes);
        offset += bytes;
        data = data.subspan(bytes);
    }
}

void FileContent::zero(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = std::min(size_, offset + length);
    while (offset < end) {
        const std::uint64_t in_page = offset % kPageBytes;
        const std::uint64_t bytes = std::min(end - offset, kPageBytes - in_page);
        PageRef& page = pages_[offset / kPageBytes];
        if (bytes == kPageBytes) {
            page = PageRef();
        } else if (page.get() != nullptr) {
            std::memset(page.own().bytes.data() + in_page, 0, bytes);
        }
        offset += bytes;
    }
}

template <class T>
T FileContent::load(std::uint64_t offset) const noexcept {
    const std::uint64_t index = offset / kPageBytes;
    if (offset % kPageBytes + sizeof(T) <= kPageBytes) {
        const Page* page = index < pages_.size() ? pages_[index].get() : nullptr;
        return page != nullptr ? load_le<T>(page->bytes.data() + offset % kPageBytes) : T{};
    }
    std::array<std::byte, sizeof(T)> raw{};
    read(offset, raw);
    return load_le<T>(raw.data());
}

std::uint64_t FileContent::load64(std::uint64_t offset) const noexcept {
    return load<std::uint64_t>(offset);
}

std::uint32_t FileContent::load32(std::uint64_t offset) const noexcept {
    return load<std::uint32_t>(offset);
}

std::uint64_t FileContent::next_data(std::uint64_t offset) const noexcept {
    for (std::uint64_t index = offset / kPageBytes; index < pages_.size(); ++index) {
        if (pages_[index].get() != nullptr) return std::max(offset, index * kPageBytes);
    }
    return size_;
}

std::uint64_t FileContent::next_hole(std::uint64_t offset) const noexcept {
    for (std::uint64_t index = offset / kPageBytes; index < pages_.size(); ++index) {
        if (pages_[index].get() == nullptr) return std::max(offset, index * kPageBytes);
    }
    return size_;
}

std::uint64_t FileContent::hash() const noexcept {
    static constexpr std::array<std::byte, kPageBytes> kZeroes{};
    static const std::uint64_t zero_hash = hash_bytes(kZeroes);
    std::uint64_t hash = size_;
    for (const PageRef& reference : pages_) {
        Page* page = reference.get();
        if (page != nullptr && !page->is_hashed) {
            page->hash = hash_bytes(page->bytes);
            page->is_hashed = true;
        }
        hash = mix(hash ^ (page != nullptr ? page->hash : zero_hash));
    }
    return hash;
}

}  // namespace qed::sim
