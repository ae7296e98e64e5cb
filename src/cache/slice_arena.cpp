// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <new>

namespace qed {
namespace {

constexpr std::size_t kSlabBytes = SliceArena::kMaxBytes;
constexpr std::size_t kSlabsPerChunk = 16;
constexpr std::size_t kChunkBytes = kSlabBytes * kSlabsPerChunk;
// A reader of a reused block may run past its end by less than a slice of 64-bit entries.
constexpr std::size_t kGuardBytes = SliceArena::kMaxBytes;
constexpr std::size_t kFineStep = 16;
constexpr std::size_t kFineLimit = 512;
constexpr std::size_t kFineClasses = kFineLimit / kFineStep;
constexpr std::size_t kEmptySlabsKept = 4;
constexpr std::size_t kMaxBlocks = kSlabBytes / kFineStep;

// Up to 512 bytes in steps of 16; then four classes for each doubling.
std::uint32_t class_of(std::size_t bytes) noexcept {
    if (bytes <= kFineLimit) {
        return static_cast<std::uint32_t>((std::max<std::size_t>(bytes, 1) - 1) / kFineStep);
    }
    const auto doubling = static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;
    const std::size_t quarter = ((bytes - 1) >> (doubling - 2)) & 3;
    return static_cast<std::uint32_t>(kFineClasses + (doubling - 9) * 4 + quarter);
}

std::size_t class_bytes(std::uint32_t size_class) noexcept {
    if (size_class < kFineClasses) return (size_class + 1) * kFineStep;
    const std::size_t step = size_class - kFineClasses;
    const std::size_t base = std::size_t{kFineLimit} << (step / 4);
    return base + base / 4 * (step % 4 + 1);
}

const std::uint32_t kClasses = class_of(SliceArena::kMaxBytes) + 1;

}  // namespace

struct SliceArena::Slab {
    std::byte* memory = nullptr;
    std::uint32_t size_class = 0;
    std::uint32_t used = 0;
    std::uint32_t capacity = 0;
    std::uint32_t search_from = 0;
    bool is_open = false;
    std::vector<std::uint64_t> taken;  // one bit per block
};

struct SliceArena::Chunk {
    std::byte* mapping = nullptr;
    std::size_t mapping_bytes = 0;
    std::array<Slab, kSlabsPerChunk> slabs;
    ~Chunk() {
        if (mapping != nullptr) ::munmap(mapping, mapping_bytes);
    }
};

SliceArena::SliceArena() = default;
SliceArena::~SliceArena() = default;

std::size_t SliceArena::block_bytes(std::size_t bytes) noexcept {
    return class_bytes(class_of(bytes));
}

bool SliceArena::add_chunk() noexcept try {
    auto chunk = std::make_unique<Chunk>();
    chunk->mapping_bytes = 2 * kChunkBytes + kGuardBytes;
    void* mapping = ::mmap(nullptr, chunk->mapping_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return false;
    chunk->mapping = static_cast<std::byte*>(mapping);
    const auto base = (reinterpret_cast<std::uintptr_t>(mapping) + kChunkBytes - 1) &
                      ~(std::uintptr_t{kChunkBytes} - 1);
    std::byte* first = chunk->mapping + (base - reinterpret_cast<std::uintptr_t>(mapping));
    returned_.reserve(returned_.size() + kSlabsPerChunk);
    for (std::size_t i = 0; i < kSlabsPerChunk; ++i) {
        chunk->slabs[i].memory = first + i * kSlabBytes;
        chunk->slabs[i].taken.reserve(kMaxBlocks / 64);
    }
    Chunk& placed = *chunk;
    chunks_.emplace(base, std::move(chunk));
    for (Slab& slab : placed.slabs)
        returned_.push_back(&slab);
    return true;
} catch (const std::bad_alloc&) {
    return false;
}

SliceArena::Slab* SliceArena::new_slab(std::uint32_t size_class) noexcept try {
    if (open_.empty()) open_.resize(kClasses);
    if (empty_.empty() && returned_.empty() && !add_chunk()) return nullptr;
    const std::size_t slabs = chunks_.size() * kSlabsPerChunk;
    // Space for every slab in every list, so that freeing never allocates.
    open_[size_class].reserve(slabs);
    empty_.reserve(slabs);
    returned_.reserve(slabs);
    std::vector<Slab*>& from = empty_.empty() ? returned_ : empty_;
    Slab* slab = from.back();
    from.pop_back();
    if (&from == &returned_) {
        resident_bytes_ += kSlabBytes;
        // One call instead of a fault for each page; a kernel without this call takes the faults.
        ::madvise(slab->memory, kSlabBytes, MADV_POPULATE_WRITE);
    }
    slab->size_class = size_class;
    slab->used = 0;
    slab->search_from = 0;
    slab->capacity = static_cast<std::uint32_t>(kSlabBytes / class_bytes(size_class));
    slab->taken.assign((slab->capacity + 63) / 64, 0);
    slab->is_open = true;
    open_[size_class].push_back(slab);
    return slab;
} catch (const std::bad_alloc&) {
    return nullptr;
}

void* SliceArena::allocate(std::size_t bytes) noexcept {
    const std::uint32_t size_class = class_of(bytes);
    Slab* slab = open_.empty() || open_[size_class].empty() ? new_slab(size_class)
                                                            : open_[size_class].back();
    if (slab == nullptr) return nullptr;
    std::uint32_t word = slab->search_from;
    while (~slab->taken[word] == 0)
        ++word;
    slab->search_from = word;
    const auto bit = static_cast<std::uint32_t>(std::countr_one(slab->taken[word]));
    slab->taken[word] |= std::uint64_t{1} << bit;
    if (++slab->used == slab->capacity) {
        slab->is_open = false;
        open_[size_class].pop_back();
    }
    return slab->memory + (word * 64 + bit) * class_bytes(size_class);
}

SliceArena::Slab* SliceArena::slab_of(const void* block) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    Chunk& chunk = *chunks_.find(address & ~(std::uintptr_t{kChunkBytes} - 1))->second;
    return &chunk.slabs[(address % kChunkBytes) / kSlabBytes];
}

void SliceArena::free(void* block) noexcept {
    Slab* slab = slab_of(block);
    const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(block) - slab->memory);
    const auto index = static_cast<std::uint32_t>(offset / class_bytes(slab->size_class));
    slab->taken[index / 64] &= ~(std::uint64_t{1} << (index % 64));
    slab->search_from = std::min(slab->search_from, index / 64);
    std::vector<Slab*>& open = open_[slab->size_class];
    if (!slab->is_open) {
        slab->is_open = true;
        open.push_back(slab);
    }
    if (--slab->used != 0) return;
    slab->is_open = false;
    open.erase(std::find(open.begin(), open.end(), slab));
    if (empty_.size() < kEmptySlabsKept) {
        empty_.push_back(slab);
    } else {
        release_memory(*slab);
    }
}

void SliceArena::release_memory(Slab& slab) noexcept {
    ::madvise(slab.memory, kSlabBytes, MADV_DONTNEED);
    resident_bytes_ -= kSlabBytes;
    returned_.push_back(&slab);
}

void SliceArena::trim() noexcept {
    for (Slab* slab : empty_)
        release_memory(*slab);
    empty_.clear();
}

}  // namespace qed
