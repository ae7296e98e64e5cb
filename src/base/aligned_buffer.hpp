// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "base/assert.hpp"
#include "base/math.hpp"
#include "qed/error.hpp"

namespace qed {

/// Owns bytes at an aligned address. The bytes are not initialized.
class AlignedBuffer {
public:
    AlignedBuffer() = default;

    /// \param alignment  a power of two
    /// \errors out_of_memory
    static Result<AlignedBuffer> create(std::size_t bytes, std::size_t alignment) noexcept {
        QED_ASSERT(is_power_of_two(alignment));
        const std::align_val_t align{alignment};
        auto* memory = static_cast<std::byte*>(::operator new(bytes, align, std::nothrow));
        if (memory == nullptr) return std::unexpected(Error::out_of_memory());
        return AlignedBuffer(memory, bytes, align);
    }

    std::byte* data() noexcept { return bytes_.get(); }
    const std::byte* data() const noexcept { return bytes_.get(); }
    std::size_t size() const noexcept { return size_; }
    std::span<std::byte> span() noexcept { return {data(), size_}; }
    std::span<const std::byte> span() const noexcept { return {data(), size_}; }

private:
    struct Release {
        std::align_val_t alignment;  // without an initializer: clang needs the class complete
        void operator()(std::byte* memory) const noexcept { ::operator delete(memory, alignment); }
    };
    AlignedBuffer(std::byte* memory, std::size_t bytes, std::align_val_t alignment) noexcept
        : bytes_(memory, Release{alignment}), size_(bytes) {}

    std::unique_ptr<std::byte, Release> bytes_;
    std::size_t size_ = 0;
};

}  // namespace qed
