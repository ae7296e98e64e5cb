// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "qed/units.hpp"
#include "sim/file_content.hpp"

namespace qed::sim {

/// One change of a file that may be lost in a power cut.
struct Change {
    enum class Kind : std::uint8_t { write, zero, resize } kind = Kind::write;
    std::uint64_t issued = 0;     ///< moment
    std::uint64_t completed = 0;  ///< moment of completion; 0: not complete
    std::uint64_t offset = 0;     ///< multiple of 512; for resize: the new size
    std::uint64_t length = 0;     ///< bytes, a multiple of 512
    std::uint64_t end = 0;        ///< write: the file is at least this long afterwards
    std::uint64_t size_before = 0;
    std::uint64_t size_after = 0;
    /// The sectors' content afterwards; empty for zeroes.
    std::shared_ptr<const std::vector<std::byte>> data;
    /// Sectors whose content a later, durable change has settled; empty: none.
    std::vector<bool> settled;
    bool is_orphan = false;  ///< a flush that covered it failed, and no later flush covers it

    std::uint64_t sectors() const { return kind == Kind::resize ? 0 : length / kSectorBytes; }
    bool is_settled(std::uint64_t sector) const { return !settled.empty() && settled[sector]; }
    /// The content of the change's sector `sector` afterwards; empty for zeroes.
    std::span<const std::byte> sector_data(std::uint64_t sector) const {
        if (kind != Kind::write) return {};
        return std::span(*data).subspan(sector * kSectorBytes, kSectorBytes);
    }
    void settle(std::uint64_t sector) {
        settled.resize(sectors());
        settled[sector] = true;
    }
};

/// The possible states at a power cut: any subset of `pending` may have happened.
struct CrashPoint {
    std::uint64_t since = 0;   ///< the moment since which `durable` is the durable content
    std::uint64_t moment = 0;  ///< of the power cut
    FileContent durable;
    std::vector<Change> pending;  ///< in the order in which they took effect
};

/// A file on a disk with a volatile cache, at the granularity of 512-byte sectors.
///
/// A write begins, takes effect (readers see it), and completes. A flush makes all writes durable
/// that completed before it began. After a failed flush those writes may be durable or not,
/// forever, as on Linux, which marks the pages clean.
class Storage {
public:
    using ChangeRef = std::shared_ptr<Change>;

    /// Starts with `content`, which is durable since the moment `since`.
    explicit Storage(FileContent content, std::uint64_t since = 0)
        : durable_(content), current_(std::move(content)), durable_since_(since) {}

    const FileContent& current() const noexcept { return current_; }
    const FileContent& durable() const noexcept { return durable_; }
    std::uint64_t size() const noexcept { return current_.size(); }

    ChangeRef begin_write(std::uint64_t moment, std::uint64_t offset,
                          std::span<const std::byte> data);
    ChangeRef begin_zero(std::uint64_t moment, std::uint64_t offset, std::uint64_t length);
    ChangeRef begin_resize(std::uint64_t moment, std::uint64_t bytes);
    void take_effect(const ChangeRef& change);
    /// Only some sectors take effect (a failing write): those for which `keep` returns true.
    void take_partial_effect(const ChangeRef& change, const std::function<bool()>& keep);
    void complete(const ChangeRef& change, std::uint64_t moment) { change->completed = moment; }

    /// Makes everything durable that completed up to `begun`.
    void finish_flush(std::uint64_t begun, std::uint64_t moment);
    void fail_flush(std::uint64_t begun);

    /// From now on, records a crash point before every flush that makes something durable.
    void record_crash_points() noexcept { is_recording_ = true; }
    std::vector<CrashPoint> take_crash_points() noexcept { return std::move(points_); }
    /// The possible states after a power cut at this moment.
    CrashPoint crash_point(std::uint64_t moment) const;

private:
    /// Widens a write to whole sectors with the current content of the file.
    void widen(Change& change) const;
    void forget(const ChangeRef& begun);

    FileContent durable_;
    FileContent current_;
    std::vector<ChangeRef> log_;        // in effect, not durable
    std::vector<ChangeRef> in_flight_;  // begun, not in effect
    std::uint64_t durable_since_ = 0;
    bool is_recording_ = false;
    std::vector<CrashPoint> points_;
};

/// Applies `change` to `content`, except in settled sectors.
void apply(FileContent& content, const Change& change);

}  // namespace qed::sim
