// SPDX-License-Identifier: Apache-2.0
#pragma once

// Replaces operator new of a program, so that its tests can make allocations fail. Include this in
// one source file of the program.

#include <cstddef>
#include <cstdlib>
#include <new>

#include "support/failing_new.hpp"

namespace qed::test {

inline void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (allocations_until_failure == 0) return nullptr;
    if (allocations_until_failure > 0) --allocations_until_failure;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory != nullptr) living_allocations.fetch_add(1, std::memory_order_relaxed);
    return memory;
}

inline void release(void* memory) noexcept {
    if (memory != nullptr) living_allocations.fetch_sub(1, std::memory_order_relaxed);
    std::free(memory);
}

inline constexpr std::size_t kPlain = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace qed::test

// Not inlined: the compiler would warn that std::free() does not match operator new.
void* operator new(std::size_t bytes) {
    if (void* memory = qed::test::allocate(bytes, qed::test::kPlain)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    if (void* memory = qed::test::allocate(bytes, static_cast<std::size_t>(alignment))) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return qed::test::allocate(bytes, qed::test::kPlain);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return qed::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    qed::test::release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    qed::test::release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    qed::test::release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    qed::test::release(memory);
}
