// SPDX-License-Identifier: Apache-2.0
#include "sim/storage.hpp"

#include <algorithm>

#include "sim/failure.hpp"

namespace qed::sim {

namespace {

bool is_covered(const Change& change, std::uint64_t begun) {
    return change.completed != 0 && change.completed <= begun && !change.is_orphan;
}

/// Marks the sectors of `earlier` that `later` also changes.
void settle_overlap(Change& earlier, const Change& later) {
    if (earlier.kind == Change::Kind::resize || later.kind == Change::Kind::resize) return;
    const std::uint64_t begin = std::max(earlier.offset, later.offset);
    const std::uint64_t end =
        std::min(earlier.offset + earlier.length, later.offset + later.length);
    for (std::uint64_t at = begin; at < end; at += kSectorBytes) {
        if (later.is_settled((at - later.offset) / kSectorBytes)) continue;
        earlier.settle((at - earlier.offset) / kSectorBytes);
    }
}

}  // namespace

void apply(FileContent& content, const Change& change) {
    if (change.kind == Change::Kind::resize) {
        content.resize(change.offset);
        return;
    }
    const std::uint64_t bytes = std::max(content.size(), change.end);
    if (change.kind == Change::Kind::zero && change.settled.empty()) {
        content.zero(change.offset, change.length);  // whole pages become holes
        return;
    }
    for (std::uint64_t sector = 0; sector < change.sectors(); ++sector) {
        if (change.is_settled(sector)) continue;
        const std::uint64_t at = change.offset + sector * kSectorBytes;
        if (change.kind == Change::Kind::write) {
            content.write(at, change.sector_data(sector));
        } else {
            content.zero(at, kSectorBytes);
        }
    }
    content.resize(bytes);
}

Storage::ChangeRef Storage::begin_write(std::uint64_t moment, std::uint64_t offset,
                                        std::span<const std::byte> data) {
    auto change = std::make_shared<Change>();
    change->issued = moment;
    change->offset = offset;
    change->length = data.size();
    change->end = offset + data.size();
    change->data = std::make_shared<const std::vector<std::byte>>(data.begin(), data.end());
    in_flight_.push_back(change);
    return change;
}

Storage::ChangeRef Storage::begin_zero(std::uint64_t moment, std::uint64_t offset,
                                       std::uint64_t length) {
    if (offset % kSectorBytes != 0 || length % kSectorBytes != 0) {
        throw Failure("simulator", "a hole that does not consist of sectors");
    }
    auto change = std::make_shared<Change>();
    change->kind = Change::Kind::zero;
    change->issued = moment;
    change->offset = offset;
    change->length = length;
    in_flight_.push_back(change);
    return change;
}

Storage::ChangeRef Storage::begin_resize(std::uint64_t moment, std::uint64_t bytes) {
    auto change = std::make_shared<Change>();
    change->kind = Change::Kind::resize;
    change->issued = moment;
    change->offset = bytes;
    in_flight_.push_back(change);
    return change;
}

void Storage::forget(const ChangeRef& begun) {
    in_flight_.erase(std::find(in_flight_.begin(), in_flight_.end(), begun));
}

void Storage::widen(Change& change) const {
    if (change.kind != Change::Kind::write) return;
    const std::uint64_t begin = change.offset / kSectorBytes * kSectorBytes;
    const std::uint64_t end = (change.end + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
    if (begin == change.offset && end == change.end) return;
    std::vector<std::byte> sectors(end - begin);
    current_.read(begin, sectors);
    std::ranges::copy(*change.data, sectors.begin() + static_cast<long>(change.offset - begin));
    change.data = std::make_shared<const std::vector<std::byte>>(std::move(sectors));
    change.offset = begin;
    change.length = end - begin;
}

void Storage::take_effect(const ChangeRef& change) {
    forget(change);
    widen(*change);
    change->size_before = current_.size();
    apply(current_, *change);
    change->size_after = current_.size();
    log_.push_back(change);
}

void Storage::take_partial_effect(const ChangeRef& change, const std::function<bool()>& keep) {
    if (change->kind == Change::Kind::resize) {
        forget(change);
        return;
    }
    widen(*change);
    std::uint64_t end = 0;
    for (std::uint64_t sector = 0; sector < change->sectors(); ++sector) {
        if (keep()) {
            end = std::min(change->end, change->offset + (sector + 1) * kSectorBytes);
        } else {
            change->settle(sector);
        }
    }
    change->end = end;
    take_effect(change);
}

void Storage::finish_flush(std::uint64_t begun, std::uint64_t moment) {
    const auto covered = [begun](const ChangeRef& change) { return is_covered(*change, begun); };
    const auto last = std::find_if(log_.rbegin(), log_.rend(), covered);
    if (last == log_.rend()) return;
    if (is_recording_) points_.push_back(crash_point(moment));
    const std::size_t count = static_cast<std::size_t>(log_.rend() - last);

    std::vector<ChangeRef> left;
    for (std::size_t index = 0; index < count; ++index) {
        Change& change = *log_[index];
        // A file system keeps the order of changes to the length.
        if (!covered(log_[index]) && change.kind != Change::Kind::resize) {
            left.push_back(log_[index]);
            continue;
        }
        apply(durable_, change);
        for (const ChangeRef& earlier : left)
            settle_overlap(*earlier, change);
    }
    left.insert(left.end(), log_.begin() + static_cast<long>(count), log_.end());
    log_ = std::move(left);
    durable_since_ = moment;
}

void Storage::fail_flush(std::uint64_t begun) {
    for (const ChangeRef& change : log_) {
        if (is_covered(*change, begun)) change->is_orphan = true;
    }
}

CrashPoint Storage::crash_point(std::uint64_t moment) const {
    CrashPoint point{.since = durable_since_, .moment = moment, .durable = durable_, .pending = {}};
    point.pending.reserve(log_.size() + in_flight_.size());
    for (const ChangeRef& change : log_)
        point.pending.push_back(*change);
    std::uint64_t size = current_.size();
    for (const ChangeRef& change : in_flight_) {
        Change copy = *change;
        widen(copy);
        copy.size_before = size;
        size = copy.kind == Change::Kind::resize ? copy.offset : std::max(size, copy.end);
        copy.size_after = size;
        point.pending.push_back(std::move(copy));
    }
    return point;
}

}  // namespace qed::sim
