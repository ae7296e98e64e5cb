// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_directory.hpp"

#include <algorithm>
#include <new>

#include "base/assert.hpp"

namespace qed {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kSlotsInPage = kPageBytes / sizeof(DirectorySlot);
constexpr std::memory_order kRelease = std::memory_order_release;

constexpr std::uint64_t pages_for(std::uint64_t slots) {
    return (slots + kSlotsInPage - 1) / kSlotsInPage;
}

}  // namespace

SliceDirectory::SliceDirectory(const SliceAddressing& addressing, std::uint64_t max_guest_bytes,
                               MemoryBudget& budget, EvictionClient& client) noexcept
    : addressing_(addressing),
      slots_(pages_for(addressing.slot({max_guest_bytes - 1}) + 1) * kSlotsInPage),
      budget_(budget),
      client_(client),
      blocks_in_page_(slots_.size() / kSlotsInPage) {}

SliceDirectory::~SliceDirectory() = default;

DirectoryBlock* SliceDirectory::first_from(std::uint64_t slot) const noexcept {
    while (slot < slot_limit_) {
        if (blocks_in_page_[slot / kSlotsInPage] == 0) {
            slot = (slot / kSlotsInPage + 1) * kSlotsInPage;
        } else if (DirectoryBlock* block = slots_[slot++].block.load(std::memory_order_relaxed)) {
            return block;
        }
    }
    return nullptr;
}

// Readers may still look at the memory as the block it was: words and use counts stay atomics, and
// are stored to, never constructed again.
DirectoryBlock* SliceDirectory::make_block(std::uint64_t slot) noexcept {
    const std::uint32_t slices = addressing_.slices_in_block();
    const std::size_t bytes = DirectoryBlock::bytes_for(slices);
    void* memory = budget_.memory().blocks_of(addressing_.block_bits()).allocate(bytes);
    if (memory == nullptr) return nullptr;
    auto* block = new (memory) DirectoryBlock;
    block->bytes = static_cast<std::uint32_t>(SliceArena::block_bytes(bytes));
    block->group = block;
    block->client = &client_;
    block->slot = slot;
    block->slices = slices;
    for (std::uint32_t i = 0; i < slices; ++i) {
        block->words()[i].store(0, std::memory_order_relaxed);
        block->use_count(i).store(0, std::memory_order_relaxed);
        block->record(i) = nullptr;
    }
    return block;
}

DirectoryBlock* SliceDirectory::find_or_make(std::uint64_t slice) noexcept {
    if (DirectoryBlock* block = find(slice)) return block;
    DirectoryBlock* block = make_block(addressing_.slot_of(slice));
    if (block == nullptr) return nullptr;
    block->records = 1;  // its own insertion must not evict it
    budget_.insert(*block);
    if (blocks_in_page_[block->slot / kSlotsInPage]++ == 0) budget_.charge(kPageBytes);
    slot_limit_ = std::max(slot_limit_, block->slot + 1);
    DirectorySlot& slot = slots_[block->slot];
    advance(slot);
    slot.block.store(block, kRelease);
    block->records = 0;
    budget_.unpinned(*block);
    return block;
}

void SliceDirectory::erase(DirectoryBlock& block) noexcept {
    QED_ASSERT(block.records == 0);
    budget_.remove(block);
    for (std::uint32_t i = 0; block.present != 0 && i < block.slices; ++i) {
        if (block.word(i).is_absent()) continue;
        block.words()[i].store(0, kRelease);
        --block.present;
        --present_;
    }
    const std::uint64_t index = block.slot;
    DirectorySlot& slot = slots_[index];
    slot.block.store(nullptr, kRelease);
    // After this store readers notice that the block was removed, so its memory may be reused.
    advance(slot);
    budget_.memory().blocks_of(addressing_.block_bits()).free(&block);
    const std::uint64_t page = index / kSlotsInPage;
    if (--blocks_in_page_[page] != 0) return;
    slots_.forget(page * kSlotsInPage, kSlotsInPage);
    budget_.charge(-static_cast<std::int64_t>(kPageBytes));
}

void SliceDirectory::set_word(DirectoryBlock& block, std::uint32_t index, SliceWord word) noexcept {
    const SliceWord old = block.word(index);
    block.words()[index].store(word.bits(), kRelease);
    if (!old.is_absent()) advance(slots_[block.slot]);
    const int change = (old.is_absent() ? 1 : 0) - (word.is_absent() ? 1 : 0);
    block.present += static_cast<std::uint32_t>(change);
    present_ += static_cast<std::uint64_t>(change);
    QED_ASSERT(block.present <= block.slices);
}

void SliceDirectory::advance(DirectorySlot& slot) noexcept {
    ++latest_version_;
    QED_ASSERT(latest_version_ > slot.version.load(std::memory_order_relaxed));
    slot.version.store(latest_version_, kRelease);
}

}  // namespace qed
