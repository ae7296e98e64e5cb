// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace qed {

/// Memory for slice payloads. A mapped address stays readable until the arena is destroyed, even
/// after its block was freed, returned to the system or reused: readers without a pin may still
/// read it (and then notice that its slice has changed). Callers serialise all calls.
class SliceArena {
public:
    SliceArena();
    SliceArena(const SliceArena&) = delete;
    SliceArena& operator=(const SliceArena&) = delete;
    ~SliceArena();

    /// Largest block in bytes.
    static constexpr std::size_t kMaxBytes = 64 * 1024;
    /// The memory that a block of `bytes` takes.
    static std::size_t block_bytes(std::size_t bytes) noexcept;

    /// Null if the system has no memory. Aligned to 16 bytes, or to 64 if the size is a multiple of
    /// 64. The content is arbitrary.
    void* allocate(std::size_t bytes) noexcept;
    void free(void* block) noexcept;
    /// Returns the memory of all empty slabs to the system now, not only when many are empty.
    void trim() noexcept;
    std::size_t resident_bytes() const noexcept { return resident_bytes_; }

private:
    struct Slab;
    struct Chunk;
    Slab* slab_of(const void* block) noexcept;
    Slab* new_slab(std::uint32_t size_class) noexcept;
    bool add_chunk() noexcept;
    void release_memory(Slab& slab) noexcept;

    std::unordered_map<std::uintptr_t, std::unique_ptr<Chunk>> chunks_;
    std::vector<std::vector<Slab*>> open_;  // by size class: slabs with a free block
    std::vector<Slab*> empty_;              // resident, no block in use
    std::vector<Slab*> returned_;           // memory returned to the system
    std::size_t resident_bytes_ = 0;
};

}  // namespace qed
