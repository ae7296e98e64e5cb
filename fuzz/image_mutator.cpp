// SPDX-License-Identifier: Apache-2.0
#include "image_mutator.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace qed::fuzz {

namespace {

// Offset and length of each field of the header (docs/format.md section 1).
struct Field {
    std::size_t at;
    std::size_t bytes;
};
constexpr std::array<Field, 11> kFields = {{
    {0, 4},
    {4, 4},
    {8, 4},
    {12, 4},
    {16, 8},
    {24, 8},
    {32, 8},
    {40, 8},
    {48, 8},
    {56, 4},
    {60, 4},
}};
constexpr std::size_t kClusterSizeAt = 4;
constexpr std::size_t kTableSizeAt = 8;
constexpr std::size_t kFeaturesAt = 16;
constexpr std::size_t kL1At = 40;
constexpr std::size_t kImageSizeAt = 48;
constexpr std::size_t kHeaderBytes = 64;
constexpr std::uint64_t kSmallestCluster = 4096;

/// The image as a mutation sees it. Reads stop at the end of the file.
class Subject {
public:
    Subject(std::span<std::uint8_t> bytes, Chance& chance) : bytes_(bytes), chance_(chance) {
        const std::uint64_t claimed = load(kClusterSizeAt, 4);
        const bool is_usable =
            std::has_single_bit(claimed) && claimed >= kSmallestCluster && claimed <= bytes.size();
        cluster_ = is_usable ? claimed : kSmallestCluster;
        const std::uint64_t tables = load(kTableSizeAt, 4);
        table_ = cluster_ * std::clamp<std::uint64_t>(tables, 1, 16);
    }

    std::uint64_t load(std::uint64_t at, std::size_t count) const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < count && at < bytes_.size() && i < bytes_.size() - at; ++i)
            value |= std::uint64_t{bytes_[at + i]} << (8 * i);
        return value;
    }
    void store(std::uint64_t at, std::size_t count, std::uint64_t value) {
        for (std::size_t i = 0; i < count && at < bytes_.size() && i < bytes_.size() - at; ++i)
            bytes_[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }

    std::uint64_t cluster() const { return cluster_; }
    std::uint64_t clusters() const { return bytes_.size() / cluster_; }
    std::uint64_t size() const { return bytes_.size(); }
    std::uint64_t table() const { return table_; }

    /// A value that an entry may hold: mostly a cluster inside the file or just after its end.
    std::uint64_t any_entry() {
        const std::uint64_t place = chance_.below(clusters() + 3) * cluster_;
        switch (chance_.below(12)) {
            case 0:
                return 0;
            case 1:
                return 1;
            case 2:
                return place + (std::uint64_t{1} << chance_.below(12));
            case 3:
                return place | std::uint64_t{1} << (32 + chance_.below(32));
            case 4:
                return ~std::uint64_t{0} - chance_.below(2) * (cluster_ - 1);
            case 5:
                return chance_.next();
            default:
                return place;
        }
    }
    /// The position of an entry of the L1 table, or of a table that it names.
    std::uint64_t any_entry_place() {
        const std::uint64_t in_l1 = load(kL1At, 8) + chance_.below(6) * 8;
        if (chance_.below(3) == 0) return in_l1;
        // Guests use low entries first.
        const std::uint64_t range = chance_.below(4) == 0 ? table_ / 8 : 24;
        return load(in_l1, 8) + chance_.below(range) * 8;
    }
    std::span<std::uint8_t> any_cluster() {
        const std::uint64_t at = chance_.below(std::max<std::uint64_t>(clusters(), 1)) * cluster_;
        return bytes_.subspan(at, std::min<std::uint64_t>(cluster_, bytes_.size() - at));
    }

private:
    std::span<std::uint8_t> bytes_;
    Chance& chance_;
    std::uint64_t cluster_;
    std::uint64_t table_;
};

void change_field(Subject& image, Chance& chance) {
    const Field field = kFields[chance.below(kFields.size())];
    const std::uint64_t old = image.load(field.at, field.bytes);
    const unsigned bits = static_cast<unsigned>(field.bytes * 8);
    const std::array<std::uint64_t, 10> values = {
        0,
        1,
        old + 1,
        old - 1,
        old * 2,
        old / 2,
        old ^ std::uint64_t{1} << chance.below(bits),
        ~std::uint64_t{0},
        std::uint64_t{1} << (bits - 1),
        image.cluster() * chance.below(image.clusters() + 2),
    };
    image.store(field.at, field.bytes, values[chance.below(values.size())]);
}

void change_one_thing(Subject& image, Chance& chance) {
    switch (chance.below(8)) {
        case 0:
            change_field(image, chance);
            break;
        case 1:
            image.store(kFeaturesAt, 8, chance.below(8));
            break;
        case 2:  // a legal size, so that more entries count
            image.store(
                kImageSizeAt, 8,
                chance.below(4 * image.table() / 8 * image.cluster()) & ~std::uint64_t{511});
            break;
        case 3: {
            const std::uint64_t from = image.any_entry_place();
            image.store(image.any_entry_place(), 8, image.load(from, 8));
            break;
        }
        case 4: {
            const auto from = image.any_cluster();
            const auto to = image.any_cluster();
            std::memmove(to.data(), from.data(), std::min(from.size(), to.size()));
            break;
        }
        default:
            image.store(image.any_entry_place(), 8, image.any_entry());
    }
}

void change_length(std::vector<std::uint8_t>& bytes, std::size_t skip, std::size_t limit,
                   Chance& chance) {
    const std::size_t image = bytes.size() - skip;
    const std::size_t step = chance.below(2) == 0 ? kSmallestCluster : 1 + chance.below(600);
    const std::size_t change = step * (1 + chance.below(3));
    const std::size_t wanted =
        chance.below(2) == 0 ? image + change : image - std::min(image, change);
    bytes.resize(std::clamp(wanted, std::size_t{kHeaderBytes}, limit - skip) + skip);
}

}  // namespace

std::uint64_t Chance::next() noexcept {
    // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void mutate_image(std::vector<std::uint8_t>& bytes, std::size_t skip, std::size_t limit,
                  Chance& chance) {
    if (limit < skip + kHeaderBytes) return;
    if (bytes.size() < skip + kHeaderBytes) bytes.resize(skip + kHeaderBytes);
    for (std::uint64_t steps = 1 + chance.below(4); steps > 0; --steps) {
        if (chance.below(10) == 0) {
            change_length(bytes, skip, limit, chance);
            continue;
        }
        const std::span<std::uint8_t> whole(bytes);
        Subject image(whole.subspan(skip), chance);
        change_one_thing(image, chance);
    }
}

}  // namespace qed::fuzz

// The hook for libFuzzer. Its own mutations are used sometimes, because they know the values that
// the code compares with.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size)
    __attribute__((weak));

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
    using namespace qed::fuzz;
    Chance chance(seed);
    if (LLVMFuzzerMutate != nullptr && chance.below(5) == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    std::vector<std::uint8_t> bytes(data, data + size);
    const std::size_t before_image = image_at();
    if (before_image > 0 && chance.below(3) == 0) {
        bytes.resize(std::max(bytes.size(), before_image));
        bytes[chance.below(before_image)] = static_cast<std::uint8_t>(chance.next());
    } else {
        mutate_image(bytes, before_image, max_size, chance);
    }
    const std::size_t length = std::min(bytes.size(), max_size);
    std::copy_n(bytes.begin(), length, data);
    return length;
}
