// SPDX-License-Identifier: Apache-2.0
// What goes into a slice comes out again, in every form, and the form is small.
#include "cache/slice_form.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cache/slice_encoder.hpp"

namespace qed {
namespace {

constexpr unsigned kMinEntryBits = 6;
constexpr unsigned kMaxEntryBits = 13;

/// A slice in memory of its own.
class StoredSlice {
public:
    explicit StoredSlice(const SliceShape& shape) : shape_(shape), words_(shape.entries()) {}

    void store(const EncodedSlice& encoded) {
        RC_ASSERT(encoded.words.size() <= words_.size());
        if (encoded.words.empty()) {
            word_ = SliceWord::make(encoded.form, encoded.inline_value);
        } else {
            store_payload(encoded.words, words_.data());
            word_ = SliceWord::at(encoded.form, words_.data());
        }
    }
    std::vector<Entry> entries() const {
        std::vector<Entry> all;
        for (std::uint32_t i = 0; i < shape_.entries(); ++i)
            all.push_back(read_entry(word_, i, shape_));
        return all;
    }
    SliceWord word() const { return word_; }

private:
    SliceShape shape_;
    SliceWord word_;
    std::vector<std::uint64_t> words_;
};

EncodedSlice encode(const std::vector<Entry>& entries, const SliceShape& shape,
                    std::vector<std::uint64_t>& scratch) {
    scratch.assign(shape.entries(), ~std::uint64_t{0});
    return encode_slice(entries, shape, scratch);
}

SliceShape arbitrary_shape() {
    return SliceShape::make(*rc::gen::inRange(kMinEntryBits, kMaxEntryBits + 1),
                            *rc::gen::inRange(12U, 27U));
}

/// Where clusters may lie: near the start of a file, around the limits of the forms, far out.
std::uint64_t arbitrary_cluster() {
    const std::uint64_t base = *rc::gen::element<std::uint64_t>(
        1, std::uint64_t{1} << 24, (std::uint64_t{1} << 31) - 9000, (std::uint64_t{1} << 31) - 3,
        (std::uint64_t{1} << 32) - 600, (std::uint64_t{1} << 32) - 5, std::uint64_t{1} << 33);
    return base + *rc::gen::inRange<std::uint64_t>(0, 1000);
}

/// Neighbouring entries as a file system leaves them: runs of clusters, single ones, holes, zero
/// clusters, and now and then a bad one.
std::vector<Entry> arbitrary_entries(std::size_t count, unsigned cluster_bits) {
    const auto longest = *rc::gen::inRange<std::size_t>(1, count + 1);
    std::vector<Entry> entries;
    while (entries.size() < count) {
        const auto length = *rc::gen::inRange<std::size_t>(1, longest + 1);
        const int kind = *rc::gen::inRange(0, 12);
        std::uint64_t cluster = arbitrary_cluster();
        for (std::size_t i = 0; i < length && entries.size() < count; ++i, ++cluster) {
            if (kind < 4) {
                entries.push_back(kUnallocatedEntry);
            } else if (kind == 4) {
                entries.push_back(i == 0 ? kBadEntry : kZeroEntry);
            } else {
                entries.push_back(cluster << cluster_bits);
            }
        }
    }
    return entries;
}

RC_GTEST_PROP(SliceFormProperties, EveryEntryComesOutAsItWentIn, ()) {
    const SliceShape shape = arbitrary_shape();
    const std::vector<Entry> entries = arbitrary_entries(shape.entries(), shape.cluster_bits);
    std::vector<std::uint64_t> scratch;
    StoredSlice slice(shape);
    slice.store(encode(entries, shape, scratch));
    RC_ASSERT(slice.entries() == entries);
}

RC_GTEST_PROP(SliceFormProperties, AnUpdateReplacesItsEntriesAndNoOther, ()) {
    const SliceShape shape = arbitrary_shape();
    std::vector<Entry> entries = arbitrary_entries(shape.entries(), shape.cluster_bits);
    std::vector<std::uint64_t> scratch;
    StoredSlice slice(shape);
    StoredSlice updated(shape);
    slice.store(encode(entries, shape, scratch));
    const auto updater = SliceUpdater::create(shape);

    for (int i = 0; i < 20; ++i) {
        const auto first = *rc::gen::inRange<std::uint32_t>(0, shape.entries());
        const auto most = std::min<std::size_t>(shape.entries() - first, 1U << (i % 8));
        const auto count = *rc::gen::inRange<std::size_t>(1, most + 1);
        const std::vector<Entry> values = arbitrary_entries(count, shape.cluster_bits);
        std::ranges::copy(values, entries.begin() + first);
        if (may_update_in_place(slice.word(), values, shape)) {
            update_in_place(slice.word(), first, values, shape);
        } else {
            updated.store(updater->update(slice.word(), first, values));
            std::swap(slice, updated);
        }
        RC_ASSERT(slice.entries() == entries);
    }
}

RC_GTEST_PROP(SliceFormProperties, ASliceWithAPayloadIsNeverLargerThanItsEntries, ()) {
    const SliceShape shape = arbitrary_shape();
    const std::vector<Entry> entries = arbitrary_entries(shape.entries(), shape.cluster_bits);
    std::vector<std::uint64_t> scratch;
    RC_ASSERT(encode(entries, shape, scratch).words.size() <= shape.entries());
}

class SliceFormTest : public testing::Test {
protected:
    const SliceShape shape_ = SliceShape::make(9, 16);
    std::vector<Entry> entries_ = std::vector<Entry>(shape_.entries());
    std::vector<std::uint64_t> scratch_;

    EncodedSlice encoded() { return encode(entries_, shape_, scratch_); }
    void map(std::uint32_t index, std::uint64_t cluster) { entries_[index] = cluster << 16; }
};

TEST_F(SliceFormTest, EqualMarkersNeedNoPayload) {
    for (const Entry marker : {kUnallocatedEntry, kZeroEntry, kBadEntry}) {
        std::ranges::fill(entries_, marker);
        EXPECT_EQ(encoded().form, Form::uniform);
        EXPECT_EQ(encoded().payload_bytes(), 0U);
    }
}

// Bit 63 is for kinds of entries that other formats need; nothing may lose it meanwhile.
TEST_F(SliceFormTest, EntriesOfReservedKindsKeepTheirBitsAndAreNotData) {
    const Entry reserved = (Entry{1} << 63) | (Entry{5} << 60) | (Entry{77} << 16);
    EXPECT_FALSE(is_data_entry(reserved));
    EXPECT_FALSE(is_marker(reserved));
    StoredSlice slice(shape_);
    for (const std::uint32_t count : {1U, 512U}) {
        std::fill_n(entries_.begin(), count, reserved);
        slice.store(encoded());
        EXPECT_EQ(slice.entries(), entries_);
    }
}

TEST_F(SliceFormTest, ConsecutiveClustersNeedNoPayload) {
    for (std::uint32_t i = 0; i < 512; ++i)
        map(i, (std::uint64_t{1} << 40) + i);
    EXPECT_EQ(encoded().form, Form::run);
    EXPECT_EQ(encoded().payload_bytes(), 0U);
}

TEST_F(SliceFormTest, FortyScatteredClustersTake240Bytes) {
    for (std::uint32_t i = 0; i < 40; ++i)
        map(i * 12, 1000 - i);
    EXPECT_EQ(encoded().form, Form::sparse);
    EXPECT_EQ(encoded().payload_bytes(), 240U);
}

TEST_F(SliceFormTest, SliceThatIsBeingFilledInOrderTakesFewBytesAtEveryStep) {
    const auto updater = SliceUpdater::create(shape_);
    StoredSlice slice(shape_);
    StoredSlice updated(shape_);
    slice.store(encoded());
    for (std::uint32_t i = 0; i < 512; ++i) {
        const std::array<Entry, 1> value{Entry{7000 + i} << 16};
        const EncodedSlice next = updater->update(slice.word(), i, value);
        EXPECT_LE(next.payload_bytes(), 144U) << i;
        updated.store(next);
        std::swap(slice, updated);
    }
    EXPECT_EQ(slice.word().form(), Form::run);
}

TEST_F(SliceFormTest, ManyScatteredClustersAreKeptAs32BitNumbersThatChangeInPlace) {
    for (std::uint32_t i = 0; i < 512; ++i)
        map(i, 5000 - i * 3);
    EXPECT_EQ(encoded().form, Form::raw32);
    EXPECT_EQ(encoded().payload_bytes(), 2048U);
    StoredSlice slice(shape_);
    slice.store(encoded());
    const std::array<Entry, 2> values{kZeroEntry, Entry{9} << 16};
    EXPECT_TRUE(may_update_in_place(slice.word(), values, shape_));
    const std::array<Entry, 1> far{Entry{1} << 52};
    EXPECT_FALSE(may_update_in_place(slice.word(), far, shape_)) << "it needs 64 bits";
}

TEST_F(SliceFormTest, ClustersBeyond32BitsAreKept) {
    for (std::uint32_t i = 0; i < 512; ++i)
        map(i, (std::uint64_t{1} << 40) - i * 3);
    EXPECT_EQ(encoded().form, Form::raw64);
    StoredSlice slice(shape_);
    slice.store(encoded());
    EXPECT_EQ(slice.entries(), entries_);
}

TEST_F(SliceFormTest, ManyNewValuesAtOnceMayGiveASmallerForm) {
    for (std::uint32_t i = 0; i < 512; ++i)
        map(i, 5000 - i * 3);
    StoredSlice slice(shape_);
    slice.store(encoded());
    const std::vector<Entry> zeroes(512, kZeroEntry);
    EXPECT_FALSE(may_update_in_place(slice.word(), zeroes, shape_));
    const auto updater = SliceUpdater::create(shape_);
    EXPECT_EQ(updater->update(slice.word(), 0, zeroes).form, Form::uniform);
}

// A reader without a pin may look at memory that has become something else.
TEST(ReusedPayloadTest, WhateverMemoryHoldsReadersStayWithin64KiBOfIt) {
    constexpr std::size_t kGuard = 64 * 1024;
    constexpr std::size_t kPage = 4096;
    void* mapping =
        ::mmap(nullptr, kGuard + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(mapping, MAP_FAILED);
    auto* bytes = static_cast<std::byte*>(mapping);
    ASSERT_EQ(::mprotect(bytes + kGuard, kPage, PROT_NONE), 0);
    std::mt19937_64 random(3);
    for (int round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < kGuard; i += 8) {
            const std::uint64_t noise = round == 0 ? ~std::uint64_t{0} : random();
            PayloadMemory::store64(reinterpret_cast<std::uintptr_t>(bytes + i), noise);
        }
        for (unsigned bits = kMinEntryBits; bits <= kMaxEntryBits; ++bits) {
            const SliceShape shape = SliceShape::make(bits, 16);
            for (const Form form : {Form::raw32, Form::raw64, Form::sparse, Form::runs}) {
                const SliceWord word = SliceWord::at(form, bytes);
                for (std::uint32_t i = 0; i < shape.entries(); ++i)
                    static_cast<void>(read_entry(word, i, shape));
            }
        }
    }
    ::munmap(mapping, kGuard + kPage);
}

}  // namespace
}  // namespace qed
