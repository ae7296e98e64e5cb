// SPDX-License-Identifier: Apache-2.0
#include "cli/reports/map_print.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "cli/reports/map_text.hpp"
#include "qed/map.hpp"

// Threads take pieces of the disk in order. Each writes the text of its piece into its own memory,
// waits for its turn and prints it, while the others continue with their pieces. Extents that cross
// the boundary of two pieces are joined when the turn passes between their threads.

namespace qed::cli {
namespace {

constexpr std::uint64_t kFirstPieceBytes = 512U << 20U;
constexpr std::uint64_t kSmallestPieceBytes = 1U << 20U;
/// A piece should have enough extents that threads seldom wait, and its text should fit in memory.
constexpr std::uint64_t kFewExtents = 2048;
constexpr std::uint64_t kManyExtents = 8192;
/// Memory for the text of a thread; a thread with more text waits for its turn.
constexpr std::size_t kTextBytes = 1U << 20U;

/// The extents in order; used by the thread whose turn it is.
class MapOutput {
public:
    MapOutput(bool json, Console& console) : json_(json), console_(console), lines_(json, 0) {
        if (!json_) {
            console_.print("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File");
        }
    }

    void add(const MapLine& line) {
        if (last_ && continues(*last_, line.extent, line.has_offset)) {
            last_->extent.length += line.extent.length;
            return;
        }
        print_last();
        last_ = line;
    }
    /// Appends complete lines.
    void add_text(std::string_view text) {
        print_last();
        console_.write(text);
    }
    void print_last() {
        if (!last_) return;
        lines_.add(*last_);
        std::string_view text = lines_.text();
        if (json_ && is_first_) {
            text.remove_prefix(std::string_view(",\n").size());
            console_.write("[");
        }
        is_first_ = false;
        console_.write(text);
        lines_.clear();
        last_.reset();
    }
    void end() {
        print_last();
        if (json_) console_.write(is_first_ ? "[]\n" : "]\n");
    }

private:
    const bool json_;
    Console& console_;
    MapLines lines_;
    std::optional<MapLine> last_;  ///< may continue in the next piece
    bool is_first_ = true;
};

struct Piece {
    std::uint64_t number = 0;
    MapRange range;
};

/// Hands out pieces and turns.
class MapQueue {
public:
    explicit MapQueue(MapRange range) : left_(range) {}

    std::optional<Piece> take() {
        const ScopedLock lock(mutex_);
        if (failure_ || left_.begin == left_.end) return std::nullopt;
        const std::uint64_t length = std::min(left_.end - left_.begin, piece_bytes_);
        const Piece piece{taken_++, {left_.begin, left_.begin + length}};
        left_.begin += length;
        return piece;
    }
    /// \returns false if an earlier piece has failed
    bool wait_for_turn(const Piece& piece) {
        const ScopedLock lock(mutex_);
        while (turn_ != piece.number)
            turn_changed_.wait(mutex_);
        return !failure_;
    }
    /// Adapts the size of the next pieces to the number of extents in this one.
    void end_turn(std::uint64_t extents) {
        {
            const ScopedLock lock(mutex_);
            ++turn_;
            if (extents < kFewExtents && piece_bytes_ < left_.end) piece_bytes_ *= 2;
            if (extents > kManyExtents && piece_bytes_ > kSmallestPieceBytes) piece_bytes_ /= 2;
        }
        turn_changed_.notify_all();
    }
    void fail(Error error) {
        const ScopedLock lock(mutex_);
        if (!failure_) failure_ = std::move(error);
    }
    /// Call this after all threads have ended.
    Result<void> result() {
        const ScopedLock lock(mutex_);
        if (failure_) return std::unexpected(std::move(*failure_));
        return {};
    }

private:
    Mutex mutex_;
    ConditionVariable turn_changed_;
    MapRange left_ QED_GUARDED_BY(mutex_);
    std::uint64_t piece_bytes_ QED_GUARDED_BY(mutex_) = kFirstPieceBytes;
    std::uint64_t taken_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t turn_ QED_GUARDED_BY(mutex_) = 0;
    std::optional<Error> failure_ QED_GUARDED_BY(mutex_);
};

/// The work of one thread.
class MapWorker {
public:
    MapWorker(Image& image, bool json, MapQueue& queue, MapOutput& output)
        : image_(image),
          queue_(queue),
          output_(output),
          lines_(json, kTextBytes + kTextBytes / 8) {}

    /// \returns the number of extents in the piece
    std::uint64_t run(const Piece& piece) {
        begin(piece);
        auto done = print();
        if (queue_.wait_for_turn(piece) && !done) queue_.fail(std::move(done.error()));
        queue_.end_turn(extents_);
        return extents_;
    }

private:
    void begin(const Piece& piece) {
        piece_ = piece;
        lines_.clear();
        first_.reset();
        run_ = {};
        extents_ = 0;
    }
    Result<void> print();
    Result<void> walk();
    void add(const MappedExtent& extent, bool has_offset);
    bool has_run() const { return run_.extent.length != 0; }
    void end_run();
    /// Waits for its turn, and prints the complete extents.
    bool print_ended();

    Image& image_;
    MapQueue& queue_;
    MapOutput& output_;
    MapLines lines_;
    Piece piece_;
    std::optional<MapLine> first_;  ///< may continue the last extent of the previous piece
    MapLine run_;                   ///< the current extent; 0 bytes: none
    std::uint64_t extents_ = 0;     ///< complete ones
};

Result<void> MapWorker::print() try {
    auto walked = walk();
    if (print_ended()) {
        if (has_run()) output_.add(run_);
        if (!walked) output_.print_last();
    }
    return walked;
} catch (const std::bad_alloc&) {
    return std::unexpected(Error::out_of_memory());
}

Result<void> MapWorker::walk() {
    std::array<MappedExtent, 512> extents;
    const bool is_raw = image_.is_raw();
    MapRange range = piece_.range;
    while (range.begin < range.end) {
        const std::uint64_t length = uniform_length(image_, range.begin, range.end - range.begin);
        auto found = map_extents(image_, GuestOffset{range.begin}, length, extents);
        if (!found) return pass(found);
        for (const MappedExtent& extent : std::span(extents).first(*found)) {
            range.begin += extent.length;
            // Data in the image itself needs no look at the other layers.
            if (extent.depth == 0 && !is_raw) {
                add(extent, extent.data && !extent.compressed);
            } else {
                const MapLine line = map_line(image_, extent);
                add(line.extent, line.has_offset);
            }
        }
    }
    return {};
}

void MapWorker::add(const MappedExtent& extent, bool has_offset) {
    if (has_run() && continues(run_, extent, has_offset)) {
        run_.extent.length += extent.length;
        return;
    }
    end_run();
    run_.extent = extent;
    run_.has_offset = has_offset;
}

void MapWorker::end_run() {
    if (!has_run()) return;
    if (extents_++ == 0) {
        first_ = run_;
    } else {
        lines_.add(run_);
    }
    if (lines_.text().size() >= kTextBytes) print_ended();
}

bool MapWorker::print_ended() {
    const bool is_wanted = queue_.wait_for_turn(piece_);
    if (is_wanted) {
        if (first_) output_.add(*first_);
        if (!lines_.text().empty()) output_.add_text(lines_.text());
    }
    first_.reset();
    lines_.clear();
    return is_wanted;
}

/// \returns false if the system permits no more threads
bool add_helper(std::vector<std::jthread>& helpers, MapQueue& queue, Image& image, bool json,
                MapOutput& output) {
    try {
        auto worker = std::make_unique<MapWorker>(image, json, queue, output);
        helpers.emplace_back([&queue, worker = std::move(worker)] {
            while (const auto piece = queue.take())
                worker->run(*piece);
        });
        return true;
    } catch (const std::system_error&) {
        return false;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

}  // namespace

Result<void> print_map(Image& image, MapRange range, const MapPrinting& how, Console& console) {
    MapOutput output(how.json, console);
    MapQueue queue(range);
    MapWorker worker(image, how.json, queue, output);
    {
        std::vector<std::jthread> helpers;
        while (const auto piece = queue.take()) {
            bool wants_help = worker.run(*piece) >= kFewExtents;
            while (wants_help && helpers.size() + 1 < how.threads)
                wants_help = add_helper(helpers, queue, image, how.json, output);
        }
    }
    QED_CHECK(queue.result());
    output.end();
    return {};
}

}  // namespace qed::cli
