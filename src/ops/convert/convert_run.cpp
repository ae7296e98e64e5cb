// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/convert_run.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "base/mutex.hpp"
#include "base/no_throw.hpp"
#include "ops/convert/convert_source.hpp"
#include "ops/convert/copy_pipeline.hpp"
#include "ops/convert/zero_scan.hpp"
#include "ops/threads.hpp"

namespace qed {
namespace {

/// Small enough that a piece stays in the processor's cache between its read and its write.
constexpr std::uint64_t kPieceBytes = 512U << 10U;
/// Shared blocks cost the same for any length; this size only paces the progress.
constexpr std::uint64_t kSharedPieceBytes = 1U << 30U;
/// Often enough to keep a disk busy, rarely enough not to cost time.
constexpr std::uint64_t kEarlyBytes = 32U << 20U;
constexpr std::uint64_t kMemoryBytes = 256U << 20U;
constexpr std::uint64_t kMaxCopies = 16;
/// Readers run ahead of writers.
constexpr std::uint64_t kSlotsPerCopy = 2;
constexpr std::size_t kReportedRanges = 1000;
constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kSalvageBytes = 4096;
constexpr std::size_t kBufferAlignment = 4096;

using Kind = Mapping::Kind;

/// A piece of the disk that goes from the source to the target.
struct Item {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;
    Kind kind = Kind::data;     ///< data, zero or unallocated
    BlockFile* file = nullptr;  ///< the data is one run of this file
    FileOffset file_offset{};

    bool is_copied() const { return kind == Kind::data && file == nullptr; }
};

struct Placed {
    SequentialWriter::Place place;
    std::span<const std::byte> data;
};

/// Keeps `ranges` in order and apart, in whatever order the threads add them.
void add_range(std::vector<ConvertReport::Range>& ranges, ConvertReport::Range added) {
    const auto next =
        std::ranges::upper_bound(ranges, added.begin, {}, &ConvertReport::Range::begin);
    const bool meets_next = next != ranges.end() && added.begin + added.length == next->begin;
    const auto before = next == ranges.begin() ? ranges.end() : std::prev(next);
    if (before != ranges.end() && before->begin + before->length == added.begin) {
        before->length += added.length;
        if (!meets_next) return;
        before->length += next->length;
        ranges.erase(next);
    } else if (meets_next) {
        next->begin = added.begin;
        next->length += added.length;
    } else {
        ranges.insert(next, added);
        if (ranges.size() > kReportedRanges) ranges.pop_back();
    }
}

class Copier {
public:
    Copier(const ConvertSource& source, SequentialWriter& target, const ConvertOptions& options);
    Result<ConvertReport> run();

private:
    void work() noexcept;
    Result<void> begin();
    Result<void> fill_slot(std::size_t slot);
    Result<void> empty_slot(std::size_t slot);
    Result<std::optional<Item>> next_item();
    Result<ChainMapping> whole_grains(std::uint64_t at);
    Result<void> put_uncopied(const Item& item, AlignedBuffer& buffer);
    bool can_share(const Item& item);
    Result<void> share_item(const Item& item, AlignedBuffer& buffer);
    Result<void> copy_into(std::uint64_t from, SequentialWriter::Place place,
                           AlignedBuffer& buffer);
    Result<std::span<std::byte>> memory_of(AlignedBuffer& buffer) const;
    Result<void> read_piece(std::uint64_t at, std::span<std::byte> piece);
    void salvage_piece(std::uint64_t at, std::span<std::byte> piece);
    Result<void> place_runs(std::uint64_t at, std::span<const std::byte> piece,
                            std::vector<Placed>& placed);
    Result<void> advance(std::uint64_t bytes);
    void stop(Error error);

    const ConvertSource& source_;
    SequentialWriter& target_;
    const ConvertOptions& options_;
    const std::uint64_t grain_;
    const std::uint64_t piece_bytes_;
    const unsigned copies_;

    struct Slot {
        Item item;
        AlignedBuffer buffer;  ///< memory for a piece, once it is needed
    };
    std::vector<Slot> slots_;  ///< one for each piece in work
    CopyPipeline ring_;

    enum class Sharing : std::uint8_t { untried, works, off };
    // Used only by the thread that plans.
    std::optional<Item> first_copied_;
    std::uint64_t next_ = 0;
    ChainMapping ahead_;  ///< known mapping starting at next_; length 0: nothing
    Sharing sharing_;

    Mutex report_mutex_;
    std::optional<Error> error_ QED_GUARDED_BY(report_mutex_);
    ConvertReport report_ QED_GUARDED_BY(report_mutex_);
    std::uint64_t done_ QED_GUARDED_BY(report_mutex_) = 0;
    std::uint64_t written_early_ QED_GUARDED_BY(report_mutex_) = 0;
};

std::uint64_t piece_size(const SequentialWriter& target, const ConvertOptions& options) {
    std::uint64_t bytes = std::max(kPieceBytes, target.grain());
    while (bytes < options.sparse_bytes)
        bytes *= 2;
    return bytes;
}

unsigned copies_of(const ConvertOptions& options, std::uint64_t piece_bytes) {
    const std::uint64_t wanted = options.copies != 0 ? options.copies : reading_threads();
    const std::uint64_t by_memory = kMemoryBytes / piece_bytes / kSlotsPerCopy;
    return static_cast<unsigned>(
        std::clamp<std::uint64_t>(wanted, 1, std::clamp<std::uint64_t>(by_memory, 1, kMaxCopies)));
}

Copier::Copier(const ConvertSource& source, SequentialWriter& target, const ConvertOptions& options)
    : source_(source),
      target_(target),
      options_(options),
      grain_(target.grain()),
      piece_bytes_(piece_size(target, options)),
      copies_(copies_of(options, piece_bytes_)),
      slots_(copies_ == 1 ? 1 : copies_ * kSlotsPerCopy),
      ring_(slots_.size(), options.out_of_order ? copies_ : 1),
      // Salvage replaces ranges that cannot be read, so it has to read everything.
      sharing_(options.share_blocks && options.sparse_bytes > 0 && !options.salvage &&
                       target.shared_file() != nullptr
                   ? Sharing::untried
                   : Sharing::off) {}

Result<ConvertReport> Copier::run() {
    QED_CHECK(begin());
    if (first_copied_) run_on_threads(copies_, [this]() noexcept { work(); });
    const ScopedLock lock(report_mutex_);
    if (error_) return std::unexpected(std::move(*error_));
    return std::move(report_);
}

/// Does the work that needs no copy, until the first piece that does. Starting a thread and waiting
/// for its end takes as long as sharing any number of blocks.
Result<void> Copier::begin() {
    while (true) {
        auto item = next_item();
        if (!item) return pass(item);
        if (!*item) return {};
        if ((*item)->is_copied()) {
            first_copied_ = *item;
            return {};
        }
        QED_CHECK(put_uncopied(**item, slots_[0].buffer));
        QED_CHECK(advance((*item)->length));
    }
}

void Copier::work() noexcept {
    Result<void> done = without_throwing([this]() -> Result<void> {
        while (true) {
            const auto [task, slot] = ring_.next();
            if (task == CopyPipeline::Task::none) return {};
            QED_CHECK(task == CopyPipeline::Task::plan ? fill_slot(slot) : empty_slot(slot));
        }
    });
    if (!done) stop(std::move(done.error()));
}

/// Plans the next piece, and reads the data that has to be copied.
Result<void> Copier::fill_slot(std::size_t number) {
    auto item = next_item();
    if (!item) return pass(item);
    if (!*item) {
        ring_.planned_all();
        return {};
    }
    Slot& slot = slots_[number];
    slot.item = **item;
    ring_.planned(number);
    if (slot.item.is_copied()) {
        auto memory = memory_of(slot.buffer);
        if (!memory) return pass(memory);
        QED_CHECK(read_piece(slot.item.begin, memory->first(slot.item.length)));
    }
    ring_.filled(number);
    return {};
}

/// Finds the place of the piece in the target, and stores it there.
Result<void> Copier::empty_slot(std::size_t number) {
    Slot& slot = slots_[number];
    const Item& item = slot.item;
    std::vector<Placed> placed;
    if (item.is_copied()) {
        QED_CHECK(place_runs(item.begin, slot.buffer.span().first(item.length), placed));
    } else {
        QED_CHECK(put_uncopied(item, slot.buffer));
    }
    const std::uint64_t length = item.length;
    ring_.placed();
    for (const Placed& one : placed)
        QED_CHECK(target_.store(one.place, one.data));
    ring_.stored(number);
    return advance(length);
}

/// The longest run of whole grains starting at `at` that is stored in one way; a grain that holds
/// more than one kind counts as data.
Result<ChainMapping> Copier::whole_grains(std::uint64_t at) {
    const std::uint64_t rest = source_.size() - at;
    const auto in_parts = [](std::uint64_t length) {  // to be read, whatever it is made of
        return ChainMapping{.mapping = Mapping::without_data(Kind::encoded, length)};
    };
    auto where = source_.mapping_at(at, rest, options_.copied_layers);
    if (!where) {
        if (!options_.salvage) return where;
        return in_parts(std::min(grain_, rest));
    }
    Mapping& mapping = where->mapping;
    // Merges neighbours of one kind: a chain returns them separately.
    while (mapping.length < rest && mapping.length < grain_) {
        const auto next =
            source_.mapping_at(at + mapping.length, rest - mapping.length, options_.copied_layers);
        if (!next || next->mapping.is_stored() != mapping.is_stored()) break;
        if (!mapping.is_stored() && next->mapping.kind != mapping.kind) break;
        mapping.length += next->mapping.length;
        if (mapping.is_stored()) mapping.kind = Kind::encoded;
    }
    if (mapping.length == rest) return where;
    if (mapping.length < grain_) return in_parts(std::min(grain_, rest));
    mapping.length -= mapping.length % grain_;
    return where;
}

Result<std::optional<Item>> Copier::next_item() {
    if (first_copied_) return std::exchange(first_copied_, std::nullopt);
    if (next_ >= source_.size()) return std::nullopt;
    if (ahead_.mapping.length == 0) {
        auto where = whole_grains(next_);
        if (!where) return pass(where);
        ahead_ = *where;
    }
    const Mapping& ahead = ahead_.mapping;
    Item item{.begin = next_,
              .length = ahead.length,
              .kind = ahead.is_stored() ? Kind::data : ahead.kind,
              .file = file_of(ahead_),
              .file_offset = ahead.offset};
    if (item.file != nullptr && !can_share(item)) item.file = nullptr;
    if (item.kind == Kind::data) {
        item.length =
            std::min(item.length, item.file != nullptr ? kSharedPieceBytes : piece_bytes_);
    }
    next_ += item.length;
    pass_over(ahead_.mapping, item.length);
    return item;
}

Result<void> Copier::put_uncopied(const Item& item, AlignedBuffer& buffer) {
    if (item.kind == Kind::data) return share_item(item, buffer);
    const bool is_zero = item.kind == Kind::zero;
    QED_CHECK(is_zero ? target_.zero(item.begin, item.length)
                      : target_.skip(item.begin, item.length));
    const ScopedLock lock(report_mutex_);
    (is_zero ? report_.zero_bytes : report_.skipped_bytes) += item.length;
    return {};
}

/// Whether the file system lets these two files share blocks: tried once, with one block.
bool Copier::can_share(const Item& item) {
    if (sharing_ == Sharing::untried) {
        const FileOffset scratch{target_.scratch_offset(item.begin)};
        sharing_ = Sharing::off;
        if (item.length >= kBlockBytes) {
            const auto shared = target_.shared_file()->clone_range(*item.file, item.file_offset,
                                                                   kBlockBytes, scratch);
            if (shared && *shared) sharing_ = Sharing::works;
        }
    }
    return sharing_ == Sharing::works;
}

/// Shares the blocks of an item, or copies those that the file system refuses to share.
Result<void> Copier::share_item(const Item& item, AlignedBuffer& buffer) {
    for (std::uint64_t at = 0; at < item.length;) {
        auto place = target_.place(item.begin + at, item.length - at);
        if (!place) return pass(place);
        auto shared = target_.shared_file()->clone_range(*item.file, item.file_offset + at,
                                                         place->length, FileOffset{place->offset});
        if (!shared) return pass(shared);
        if (!*shared) QED_CHECK(copy_into(item.begin + at, *place, buffer));
        at += place->length;
        const ScopedLock lock(report_mutex_);
        (*shared ? report_.shared_bytes : report_.data_bytes) += place->length;
    }
    return {};
}

Result<std::span<std::byte>> Copier::memory_of(AlignedBuffer& buffer) const {
    if (buffer.size() == 0) {
        auto memory = AlignedBuffer::create(piece_bytes_, kBufferAlignment);
        if (!memory) return pass(memory);
        buffer = std::move(*memory);
    }
    return buffer.span();
}

Result<void> Copier::copy_into(std::uint64_t from, SequentialWriter::Place place,
                               AlignedBuffer& buffer) {
    auto memory = memory_of(buffer);
    if (!memory) return pass(memory);
    while (place.length > 0) {
        const auto piece = memory->first(std::min<std::uint64_t>(memory->size(), place.length));
        QED_CHECK(read_piece(from, piece));
        QED_CHECK(target_.store(place, piece));
        from += piece.size();
        place.offset += piece.size();
        place.length -= piece.size();
    }
    return {};
}

Result<void> Copier::read_piece(std::uint64_t at, std::span<std::byte> piece) {
    auto done = source_.read(at, piece);
    if (done || !options_.salvage) return done;
    salvage_piece(at, piece);
    return {};
}

void Copier::salvage_piece(std::uint64_t at, std::span<std::byte> piece) {
    for (std::uint64_t offset = 0; offset < piece.size(); offset += kSalvageBytes) {
        const auto part =
            piece.subspan(offset, std::min<std::uint64_t>(kSalvageBytes, piece.size() - offset));
        if (source_.read(at + offset, part)) continue;
        std::memset(part.data(), 0, part.size());
        const ScopedLock lock(report_mutex_);
        report_.unreadable_bytes += part.size();
        add_range(report_.unreadable, {at + offset, part.size()});
    }
}

Result<void> Copier::place_runs(std::uint64_t at, std::span<const std::byte> piece,
                                std::vector<Placed>& placed) {
    std::vector<ZeroRun> runs;
    if (options_.sparse_bytes == 0) {
        runs.push_back({0, piece.size(), false});
    } else {
        split_zero_runs(piece, target_.zero_unit(), options_.sparse_bytes, runs);
    }
    std::uint64_t zeroes = 0;
    for (const ZeroRun& run : runs) {
        if (run.zero) {
            QED_CHECK(target_.zero(at + run.begin, run.length));
            zeroes += run.length;
            continue;
        }
        for (std::size_t done = 0; done < run.length;) {
            auto place = target_.place(at + run.begin + done, run.length - done);
            if (!place) return pass(place);
            target_.reserve(*place);
            placed.push_back({*place, piece.subspan(run.begin + done, place->length)});
            done += place->length;
        }
    }
    const ScopedLock lock(report_mutex_);
    report_.zero_bytes += zeroes;
    report_.data_bytes += piece.size() - zeroes;
    return {};
}

Result<void> Copier::advance(std::uint64_t bytes) {
    const ScopedLock lock(report_mutex_);
    done_ += bytes;
    if (options_.write_early && report_.data_bytes - written_early_ >= kEarlyBytes) {
        written_early_ = report_.data_bytes;
        target_.write_early();
    }
    return options_.progress.report(done_, source_.size());
}

void Copier::stop(Error error) {
    {
        const ScopedLock lock(report_mutex_);
        if (!error_) error_.emplace(std::move(error));
    }
    ring_.stop();
}

}  // namespace

Result<ConvertReport> run_convert(const ConvertSource& source, SequentialWriter& target,
                                  const ConvertOptions& options) {
    Copier copier(source, target, options);
    auto report = copier.run();
    if (!report) return report;
    QED_CHECK(source.check_lengths());
    QED_CHECK(target.finish());
    return report;
}

}  // namespace qed
