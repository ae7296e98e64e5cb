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
    std::uint64_t completed = 0;  ///< moment its issuer was told; 0: not yet
    std::uint64_t offset = 0;     ///< multiple of 512; for resize: the new size
    std::uint64_t length = 0;     ///< bytes, a multiple of 512
    std::uint64_t end = 0;        ///< write: the file is at least this long afterwards
    std::uint64_t size_before = 0;
    std::uint64_t size_after = 0;
    /// What the sectors hold afterwards; empty for zero.
    std::shared_ptr<const std::vector<std::byte>> data;
    /// Sectors that a later, durable change has settled; empty: none.
    std::vector<bool> settled;
    bool is_orphan = false;  ///< a flush that should have covered it failed: no later one will

    std::uint64_t sectors() const { return kind == Kind::resize ? 0 : length / kSectorBytes; }
    bool is_settled(std::uint64_t sector) const { return !settled.empty() && settled[sector]; }
    /// What the change's sector `sector` holds afterwards; empty for zeroes.
    std::span<const std::byte> sector_data(std::uint64_t sector) const {
        if (kind != Kind::write) return {};
        return std::span(*data).subspan(sector * kSectorBytes, kSectorBytes);
    }
    void settle(std::uint64_t sector) {
        settled.resize(sectors());
        settled[sector] = true;
    }
};

/// What a power cut leaves to chance: every subset of `pending` may have happened.
struct CrashPoint {
    std::uint64_t since = 0;   ///< moment from which `durable` is what is durable
    std::uint64_t moment = 0;  ///< of the power cut
    FileContent durable;
    std::vector<Change> pending;  ///< in the order in which they took effect
};

/// A file on a disk with a volatile cache, at the granularity of 512-byte sectors.
///
/// A write is begun, takes effect (readers see it), and is completed. A flush makes durable what
/// was completed when it began; a flush that fails leaves those changes to chance for ever, as
/// Linux does, which marks the pages clean.
class Storage {
public:
    using ChangeRef = std::shared_ptr<Change>;

    /// Everything in `content` is durable, from moment `since` on.
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
    /// Only some sectors take effect (a failing write): those for which `keep` says so.
    void take_partial_effect(const ChangeRef& change, const std::function<bool()>& keep);
    void complete(const ChangeRef& change, std::uint64_t moment) { change->completed = moment; }

    /// Everything completed up to `begun` is durable.
    void finish_flush(std::uint64_t begun, std::uint64_t moment);
    void fail_flush(std::uint64_t begun);

    /// From now on every flush that has something to make durable is noted before it does.
    void record_crash_points() noexcept { is_recording_ = true; }
    std::vector<CrashPoint> take_crash_points() noexcept { return std::move(points_); }
    /// What a power cut right now leaves to chance.
    CrashPoint crash_point(std::uint64_t moment) const;

private:
    /// Widens a write to whole sectors, over what the file holds now.
    void widen(Change& change) const;
    void forget(const ChangeRef& begun);

    FileContent durable_;
    FileContent current_;
    std::vector<ChangeRef> log_;        // took effect, not durable
    std::vector<ChangeRef> in_flight_;  // begun, without effect yet
    std::uint64_t durable_since_ = 0;
    bool is_recording_ = false;
    std::vector<CrashPoint> points_;
};

/// Does to `content` what `change` does, except in settled sectors.
void apply(FileContent& content, const Change& change);

}  // namespace qed::sim
