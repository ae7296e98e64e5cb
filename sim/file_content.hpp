// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace qed::sim {

/// A 64-bit hash of `bytes`.
std::uint64_t hash_bytes(std::span<const std::byte> bytes) noexcept;

/// The bytes of a file. Copies share their pages until one of them is written, so that keeping
/// thousands of states of one file is cheap. Not thread-safe, not even between copies.
class FileContent {
public:
    static constexpr std::uint64_t kPageBytes = 4096;

    std::uint64_t size() const noexcept { return size_; }
    /// Truncates the file, or extends it with zeroes.
    void resize(std::uint64_t bytes);
    /// Bytes past the end are zero.
    void read(std::uint64_t offset, std::span<std::byte> buffer) const noexcept;
    /// Extends the file as needed.
    void write(std::uint64_t offset, std::span<const std::byte> data);
    /// Within the file only.
    void zero(std::uint64_t offset, std::uint64_t length);
    /// Little-endian value at `offset`, which need not be inside the file.
    std::uint64_t load64(std::uint64_t offset) const noexcept;
    std::uint32_t load32(std::uint64_t offset) const noexcept;
    /// The first offset at or after `offset` that may hold a byte other than zero, or size().
    std::uint64_t next_data(std::uint64_t offset) const noexcept;
    /// The first offset at or after `offset` that next_data() would skip, or size().
    std::uint64_t next_hole(std::uint64_t offset) const noexcept;
    std::uint64_t hash() const noexcept;

private:
    struct Page {
        std::uint32_t references = 1;
        bool is_hashed = false;
        std::uint64_t hash = 0;
        std::array<std::byte, kPageBytes> bytes{};
    };
    /// Shares a page; null means zeroes.
    class PageRef {
    public:
        PageRef() = default;
        PageRef(const PageRef& other) noexcept : page_(other.page_) {
            if (page_ != nullptr) ++page_->references;
        }
        PageRef(PageRef&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
        PageRef& operator=(PageRef other) noexcept {
            std::swap(page_, other.page_);
            return *this;
        }
        ~PageRef() {
            if (page_ != nullptr && --page_->references == 0) delete page_;
        }
        Page* get() const noexcept { return page_; }
        /// The page, no longer shared with other references.
        Page& own();

    private:
        Page* page_ = nullptr;
    };

    template <class T>
    T load(std::uint64_t offset) const noexcept;

    std::uint64_t size_ = 0;
    std::vector<PageRef> pages_;  // bytes of the last page past size_ are zero
};

}  // namespace qed::sim
