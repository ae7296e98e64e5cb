// SPDX-License-Identifier: Apache-2.0
#include "sim/reference_disk.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace qed::sim {

namespace {

constexpr std::uint64_t kStampMagic = 0x706D617453646551U;  // "QedStamp"
constexpr std::size_t kWords = kSectorBytes / sizeof(std::uint64_t);
using SectorBytes = std::array<std::byte, kSectorBytes>;

std::uint64_t zero_value() {
    static const std::uint64_t value = hash_bytes(SectorBytes{});
    return value;
}

std::array<std::uint64_t, kWords> words_of(std::span<const std::byte> sector) {
    std::array<std::uint64_t, kWords> words{};
    std::memcpy(words.data(), sector.data(), kSectorBytes);
    return words;
}

/// The stamp of a sector that equals the output of stamp_sector() for `number`, else 0.
std::uint64_t stamp_of(std::span<const std::byte> sector, std::uint64_t number) {
    const auto words = words_of(sector);
    if (words[0] != kStampMagic || words[2] != number) return 0;
    SectorBytes expected;
    stamp_sector(expected, words[1], number);
    return std::ranges::equal(sector, expected) ? words[1] : 0;
}

}  // namespace

void stamp_sector(std::span<std::byte> sector, std::uint64_t stamp, std::uint64_t number) {
    std::array<std::uint64_t, kWords> words{kStampMagic, stamp, number};
    std::uint64_t fill = mix(stamp ^ mix(number));
    for (std::size_t index = 3; index < kWords; ++index)
        words[index] = fill += 0x9E3779B97F4A7C15U;
    std::memcpy(sector.data(), words.data(), kSectorBytes);
}

std::string describe_sector(std::span<const std::byte> sector) {
    if (hash_bytes(sector) == zero_value()) return "zeroes";
    const auto words = words_of(sector);
    if (words[0] != kStampMagic) return fmt::format("unknown bytes {:#x}...", words[0]);
    const bool is_whole = stamp_of(sector, words[2]) != 0;
    return fmt::format("{}write {} of sector {}", is_whole ? "" : "a mixture that starts as ",
                       words[1], words[2]);
}

ReferenceDisk::ReferenceDisk(World& world, std::uint64_t bytes, const FileContent& base)
    : world_(world), size_(bytes) {
    writes_.push_back({.start = 0, .end = 0, .durable = 0, .is_done = true});  // initial content
    sizes_.push_back({.value = bytes});
    SectorBytes sector;
    for (std::uint64_t at = 0; (at = base.next_data(at)) < base.size(); at += kSectorBytes) {
        base.read(at, sector);
        if (hash_bytes(sector) == zero_value()) continue;
        const std::uint64_t number = at / kSectorBytes;
        History& history = sectors_[number];
        if (at >= bytes) {
            history.push_back({.value = zero_value()});  // hidden forever
        } else {
            add(number, sector, 0);
        }
    }
}

ReferenceDisk::ReferenceDisk(const ReferenceDisk& other, World& world)
    : world_(world),
      size_(other.size_),
      writes_(other.writes_),
      not_durable_(other.not_durable_),
      sectors_(other.sectors_),
      sizes_(other.sizes_),
      stamps_(other.stamps_),
      partial_(other.partial_) {}

std::vector<std::byte> ReferenceDisk::unique_data(std::uint64_t offset, std::uint64_t length) {
    ++stamps_;
    const std::uint64_t first = offset / kSectorBytes;
    const std::uint64_t last = (offset + length + kSectorBytes - 1) / kSectorBytes;
    std::vector<std::byte> sectors((last - first) * kSectorBytes);
    for (std::uint64_t number = first; number < last; ++number) {
        const std::span all(sectors);
        stamp_sector(all.subspan((number - first) * kSectorBytes, kSectorBytes), stamps_, number);
    }
    const auto begin = sectors.begin() + static_cast<long>(offset % kSectorBytes);
    return {begin, begin + static_cast<long>(length)};
}

ReferenceDisk::WriteId ReferenceDisk::begin() {
    writes_.push_back({.start = world_.tick()});
    return static_cast<WriteId>(writes_.size() - 1);
}

void ReferenceDisk::add(std::uint64_t sector, std::span<const std::byte> content, WriteId write) {
    const std::uint64_t value = hash_bytes(content);
    const std::uint64_t stamp = stamp_of(content, sector);
    if (stamp == 0 && value != zero_value()) {
        partial_.emplace(value, std::vector(content.begin(), content.end()));
    }
    auto [at, is_new] = sectors_.try_emplace(sector);
    if (forgets_ && at->second.size() > 8) forget(at->second);
    if (is_new && write != 0) {
        at->second.push_back({.value = zero_value()});
        for (const ZeroRange& range : zeroes_in_flight_) {
            if (range.write == write || sector < range.first || sector >= range.end) continue;
            at->second.push_back({.value = zero_value(), .stamp = 0, .write = range.write});
        }
    }
    at->second.push_back({.value = value, .stamp = stamp, .write = write});
}

std::vector<std::byte> ReferenceDisk::content_of(std::uint64_t sector) const {
    std::vector<std::byte> content(kSectorBytes);
    const auto found = sectors_.find(sector);
    if (found == sectors_.end()) return content;
    const Entry& latest = found->second.back();
    if (latest.value == zero_value()) return content;
    if (latest.stamp == 0) return partial_.at(latest.value);
    stamp_sector(content, latest.stamp, sector);
    return content;
}

std::vector<std::byte> ReferenceDisk::overlay(std::uint64_t sector, std::uint64_t in_sector,
                                              std::span<const std::byte> data) const {
    std::vector<std::byte> content = content_of(sector);
    std::ranges::copy(data, content.begin() + static_cast<long>(in_sector));
    return content;
}

ReferenceDisk::WriteId ReferenceDisk::begin_write(std::uint64_t offset,
                                                  std::span<const std::byte> data) {
    const WriteId write = begin();
    while (!data.empty()) {
        const std::uint64_t number = offset / kSectorBytes;
        const std::uint64_t in_sector = offset % kSectorBytes;
        const std::size_t bytes = std::min<std::uint64_t>(data.size(), kSectorBytes - in_sector);
        if (bytes == kSectorBytes) {
            add(number, data.first(bytes), write);
        } else {
            add(number, overlay(number, in_sector, data.first(bytes)), write);
        }
        offset += bytes;
        data = data.subspan(bytes);
    }
    return write;
}

ReferenceDisk::WriteId ReferenceDisk::begin_zero(std::uint64_t offset, std::uint64_t length) {
    static constexpr SectorBytes kZeroes{};
    const WriteId write = begin();
    const std::uint64_t end = offset + length;
    zeroes_in_flight_.push_back({.first = (offset + kSectorBytes - 1) / kSectorBytes,
                                 .end = end / kSectorBytes,
                                 .write = write});
    // Sectors that were never touched are zero and stay so.
    for (auto at = sectors_.lower_bound(offset / kSectorBytes);
         at != sectors_.end() && at->first * kSectorBytes < end; ++at) {
        const std::uint64_t begin_in = std::max(offset, at->first * kSectorBytes);
        const std::uint64_t end_in = std::min(end, (at->first + 1) * kSectorBytes);
        const std::span zeroes(kZeroes.data(), end_in - begin_in);
        add(at->first, overlay(at->first, begin_in % kSectorBytes, zeroes), write);
    }
    return write;
}

ReferenceDisk::WriteId ReferenceDisk::begin_resize(std::uint64_t bytes) {
    const std::uint64_t low = std::min(size_, bytes);
    const WriteId write = begin_zero(low, std::max(size_, bytes) - low);
    sizes_.push_back({.value = bytes, .write = write});
    size_ = bytes;
    return write;
}

void ReferenceDisk::end(WriteId write, bool is_done) {
    writes_[write].end = world_.tick();
    writes_[write].is_done = is_done;
    std::erase_if(zeroes_in_flight_,
                  [write](const ZeroRange& range) { return range.write == write; });
    if (is_done) not_durable_.push_back(write);
}

void ReferenceDisk::make_durable(WriteId write) {
    writes_[write].durable = std::min(writes_[write].durable, world_.tick());
}

void ReferenceDisk::end_flush(std::uint64_t begun) {
    const std::uint64_t now = world_.tick();
    std::erase_if(not_durable_, [this, begun, now](WriteId id) {
        Write& write = writes_[id];
        if (write.end >= begun) return false;
        write.durable = std::min(write.durable, now);
        return true;
    });
}

const ReferenceDisk::History& ReferenceDisk::history_of(std::uint64_t sector) const {
    static const History untouched{{.value = zero_value()}};
    const auto found = sectors_.find(sector);
    return found == sectors_.end() ? untouched : found->second;
}

bool ReferenceDisk::may_be_read(const History& history, std::uint64_t value,
                                std::uint64_t begun) const {
    return std::ranges::any_of(history, [&](const Entry& entry) {
        if (entry.value != value) return false;
        const std::uint64_t end = writes_[entry.write].end;
        return std::ranges::none_of(history, [&](const Entry& other) {
            const Write& later = writes_[other.write];
            return later.is_done && later.end < begun && later.start > end;
        });
    });
}

bool ReferenceDisk::may_survive(const History& history, std::uint64_t value,
                                std::uint64_t cut) const {
    return std::ranges::any_of(history, [&](const Entry& entry) {
        const Write& write = writes_[entry.write];
        if (entry.value != value || write.start > cut) return false;
        return std::ranges::none_of(history, [&](const Entry& other) {
            const Write& later = writes_[other.write];
            return later.durable <= cut && later.start > write.end;
        });
    });
}

bool ReferenceDisk::is_size_allowed(std::uint64_t bytes, std::uint64_t first,
                                    std::uint64_t last) const {
    return may_survive(sizes_, bytes, first) && may_survive(sizes_, bytes, last);
}

std::vector<std::uint64_t> ReferenceDisk::touched_sectors(std::uint64_t bytes) const {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, history] : sectors_) {
        if ((number + 1) * kSectorBytes <= bytes) numbers.push_back(number);
    }
    return numbers;
}

std::string ReferenceDisk::explain(std::uint64_t sector, std::span<const std::byte> found,
                                   const History& history) const {
    std::string text =
        fmt::format("sector {} holds {}; its history:", sector, describe_sector(found));
    const std::size_t shown = std::min<std::size_t>(history.size(), 8);
    for (const Entry& entry : std::span(history).last(shown)) {
        const Write& write = writes_[entry.write];
        text += fmt::format(
            " [{}, begun {}, {}{}]",
            entry.value == zero_value() ? std::string("zeroes")
            : entry.stamp != 0          ? fmt::format("write {}", entry.stamp)
                                        : std::string("bytes"),
            write.start,
            write.end == kNever
                ? std::string("in flight")
                : fmt::format("{} {}", write.is_done ? "done" : "failed", write.end),
            write.durable == kNever ? std::string() : fmt::format(", durable {}", write.durable));
    }
    return text;
}

std::optional<std::string> ReferenceDisk::fault_in_read(std::uint64_t offset,
                                                        std::span<const std::byte> data,
                                                        std::uint64_t begun) const {
    for (std::size_t at = 0; at + kSectorBytes <= data.size(); at += kSectorBytes) {
        const std::uint64_t number = (offset + at) / kSectorBytes;
        const auto found = data.subspan(at, kSectorBytes);
        const History& history = history_of(number);
        if (!may_be_read(history, hash_bytes(found), begun)) {
            return fmt::format("read begun {}: {}", begun, explain(number, found, history));
        }
    }
    return std::nullopt;
}

std::optional<std::string> ReferenceDisk::fault_after_cut(std::uint64_t offset,
                                                          std::span<const std::byte> data,
                                                          std::uint64_t first,
                                                          std::uint64_t last) const {
    for (std::size_t at = 0; at + kSectorBytes <= data.size(); at += kSectorBytes) {
        const std::uint64_t number = (offset + at) / kSectorBytes;
        const auto found = data.subspan(at, kSectorBytes);
        const std::uint64_t value = hash_bytes(found);
        const History& history = history_of(number);
        if (!may_survive(history, value, first) || !may_survive(history, value, last)) {
            return fmt::format("power cut in [{}, {}]: {}", first, last,
                               explain(number, found, history));
        }
    }
    return std::nullopt;
}

void ReferenceDisk::settle(std::uint64_t offset, std::span<const std::byte> data, bool is_durable) {
    const WriteId write = begin();
    writes_[write].end = writes_[write].start;
    writes_[write].is_done = true;
    if (is_durable) {
        writes_[write].durable = writes_[write].start;
    } else {
        not_durable_.push_back(write);
    }
    for (std::size_t at = 0; at + kSectorBytes <= data.size(); at += kSectorBytes) {
        const std::uint64_t number = (offset + at) / kSectorBytes;
        const auto content = data.subspan(at, kSectorBytes);
        if (!sectors_.contains(number) && hash_bytes(content) == zero_value()) continue;
        add(number, content, write);
        if (is_durable) sectors_[number] = {sectors_[number].back()};
    }
}

void ReferenceDisk::settle_size(std::uint64_t bytes) {
    size_ = bytes;
    sizes_ = {{.value = bytes}};
}

std::uint64_t ReferenceDisk::begin_read() {
    return *reads_.insert(world_.tick());
}

void ReferenceDisk::end_read(std::uint64_t begun) {
    reads_.erase(reads_.find(begun));
}

void ReferenceDisk::forget(History& history) const {
    const std::uint64_t oldest_read = reads_.empty() ? world_.moment() : *reads_.begin();
    // The latest write that all readers see and no power cut can undo hides all writes before it.
    std::uint64_t hidden = 0;
    for (const Entry& entry : history) {
        const Write& write = writes_[entry.write];
        if (write.durable != kNever && write.end < oldest_read) {
            hidden = std::max(hidden, write.start);
        }
    }
    std::erase_if(history, [&](const Entry& entry) { return writes_[entry.write].end < hidden; });
}

}  // namespace qed::sim
