// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace qed {

/// A fixed array of zero-initialised T that takes memory only for the pages that were written.
/// Sized for the largest legal image, it never has to move under its readers.
template <class T>
class ZeroedArray {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    ZeroedArray() = default;
    /// Empty (data() is null) if the system has no address space left.
    explicit ZeroedArray(std::size_t count) noexcept : count_(count) {
        if (count == 0) return;
        void* mapping = ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapping != MAP_FAILED) data_ = static_cast<T*>(mapping);
    }
    ZeroedArray(ZeroedArray&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
    ZeroedArray& operator=(ZeroedArray&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        return *this;
    }
    ~ZeroedArray() {
        if (data_ != nullptr) ::munmap(data_, count_ * sizeof(T));
    }

    /// Returns the memory of whole pages to the system; their elements are zero again. Other
    /// threads may read them meanwhile.
    void forget(std::size_t first, std::size_t count) const noexcept {
        ::madvise(data_ + first, count * sizeof(T), MADV_DONTNEED);
    }

    T* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return count_; }
    T& operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    T* data_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace qed
