// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/table_scan.hpp"

#include <algorithm>
#include <list>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "base/mutex.hpp"
#include "coro/when_all.hpp"
#include "formats/qed/check/entry_buffer.hpp"
#include "formats/qed/check/table_pieces.hpp"

namespace qed {

namespace {

// A thread costs its start and its own set of clusters. This many bytes of tables make it
// worthwhile.
constexpr std::uint64_t kBytesForAThread = std::uint64_t{8} << 20;

/// The pieces that have not been read; shared by all threads of a scan.
class PieceQueue {
public:
    PieceQueue(const ImageTables& image, const CheckOptions& options)
        : options_(options),
          pieces_(image.file(), image.tables(), image.geometry().table_bytes(), true) {}

    std::optional<TablePiece> next() {
        const ScopedLock lock(mutex_);
        if (is_stopped_) return std::nullopt;
        return pieces_.next();
    }
    /// Gives no more pieces to any thread: a thread has failed, or the caller wants to stop.
    void stop() {
        const ScopedLock lock(mutex_);
        is_stopped_ = true;
    }
    /// For the caller's thread only. \errors cancelled
    Result<void> report_progress() {
        if (options_.progress.callback == nullptr) return {};
        std::uint64_t done = 0;
        std::uint64_t total = 0;
        {
            const ScopedLock lock(mutex_);
            done = pieces_.done_bytes();
            total = pieces_.total_bytes();
        }
        return options_.progress.report(done, total);
    }

private:
    const CheckOptions& options_;
    Mutex mutex_;
    TablePieces pieces_ QED_GUARDED_BY(mutex_);
    bool is_stopped_ QED_GUARDED_BY(mutex_) = false;
};

/// The first and last entries of a part of a table, to be joined with the other parts.
struct Part {
    std::uint64_t table = 0;  ///< index in the list of tables
    std::uint64_t offset = 0;
    EntryEnds ends;
};

/// The work and the results of one thread. Its tasks run on one executor.
class ScanWorker {
public:
    /// \param is_main  runs on the caller's executor: also counts header and tables, reports
    /// progress
    ScanWorker(const ImageTables& image, const CheckOptions& options, PieceQueue& queue,
               EntryScan entries, bool is_main)
        : image_(image),
          options_(options),
          queue_(queue),
          entries_(std::move(entries)),
          is_main_(is_main) {}

    Task<Result<void>> run();
    /// Adds the results of another worker.
    void merge(ScanWorker& other);
    /// After all merges: joins the parts of tables, and returns the result.
    Result<ScanResult> finish();

private:
    Task<Result<void>> run_lane();
    Task<Result<void>> read_piece(TablePiece piece, EntryBuffer& buffer);
    Task<Result<void>> read_each_table(TablePiece piece, EntryBuffer& buffer);
    void add_fixed_tables();
    void add_piece(const TablePiece& piece, std::span<const std::uint64_t> entries);
    void join_parts();
    Result<void> check_room() const;

    const ImageTables& image_;
    const CheckOptions& options_;
    PieceQueue& queue_;
    EntryScan entries_;
    bool is_main_;
    std::vector<Part> parts_;
    std::vector<TablePlace> unreadable_;
};

Task<Result<void>> ScanWorker::run() {
    if (is_main_) add_fixed_tables();
    unsigned lanes = std::max(1U, options_.reads_in_flight);
    auto next_lane = [&]() -> std::optional<Task<Result<void>>> {
        if (lanes == 0) return std::nullopt;
        --lanes;
        return run_lane();
    };
    Result<void> done = co_await when_all(lanes, next_lane);
    if (!done) queue_.stop();
    co_return done;
}

void ScanWorker::add_fixed_tables() {
    const std::uint64_t table_bytes = image_.geometry().table_bytes();
    entries_.add_table({0}, image_.header().header_bytes());
    entries_.add_table(image_.header().l1_table_offset, table_bytes);
    for (const TablePlace& table : image_.tables())
        entries_.add_table({table.offset}, table_bytes);
}

Task<Result<void>> ScanWorker::run_lane() {
    Result<EntryBuffer> buffer = EntryBuffer::create(image_.file(), TablePieces::kPieceBytes);
    if (!buffer) co_return pass(buffer);
    while (std::optional<TablePiece> piece = queue_.next()) {
        QED_CO_CHECK(co_await read_piece(*piece, *buffer));
        QED_CO_CHECK(check_room());
        if (is_main_) QED_CO_CHECK(queue_.report_progress());
    }
    co_return {};
}

Task<Result<void>> ScanWorker::read_piece(TablePiece piece, EntryBuffer& buffer) {
    const FileOffset at{piece.offset};
    Result<void> read = co_await image_.file().read(at, buffer.bytes(piece.bytes));
    if (read) {
        add_piece(piece, buffer.swap_to_host(piece.bytes));
        co_return {};
    }
    if (read.error().code() == Errc::out_of_memory) co_return read;
    co_return co_await read_each_table(piece, buffer);
}

Task<Result<void>> ScanWorker::read_each_table(TablePiece piece, EntryBuffer& buffer) {
    const std::uint64_t table_bytes = image_.geometry().table_bytes();
    std::uint64_t table = piece.first_table;
    for (std::uint64_t at = piece.offset; at < piece.offset + piece.bytes; ++table) {
        const std::uint64_t table_end = image_.tables()[table].offset + table_bytes;
        const std::uint64_t end = std::min(table_end, piece.offset + piece.bytes);
        const TablePiece part{at, end - at, table};
        const FileOffset part_at{at};
        Result<void> read = co_await image_.file().read(part_at, buffer.bytes(part.bytes));
        if (read) {
            add_piece(part, buffer.swap_to_host(part.bytes));
        } else {
            unreadable_.push_back(image_.tables()[table]);
        }
        at = end;
    }
    co_return {};
}

void ScanWorker::add_piece(const TablePiece& piece, std::span<const std::uint64_t> entries) {
    const std::uint64_t table_bytes = image_.geometry().table_bytes();
    std::uint64_t table = piece.first_table;
    for (std::uint64_t at = piece.offset; !entries.empty(); ++table) {
        const std::uint64_t begin = image_.tables()[table].offset;
        const std::uint64_t count = std::min<std::uint64_t>(
            entries.size(), (begin + table_bytes - at) / sizeof(entries[0]));
        Part part{table, at, {}};
        entries_.add(entries.first(count), part.ends);
        const bool is_whole = at == begin && count == image_.geometry().table_entries();
        if (!is_whole && part.ends.first != 0) parts_.push_back(part);
        at += count * sizeof(entries[0]);
        entries = entries.subspan(count);
    }
}

Result<void> ScanWorker::check_room() const {
    switch (entries_.lack()) {
        case ClusterSet::MissingTable::none:
            return {};
        case ClusterSet::MissingTable::memory:
            return std::unexpected(Error::out_of_memory());
        case ClusterSet::MissingTable::limit:
            break;
    }
    return fail(
        Errc::unsupported,
        fmt::format("{}: the tables name clusters scattered over {} bytes of file; recording "
                    "them takes more than the permitted {} MiB of memory",
                    image_.file().name(), image_.file_bytes(), options_.memory_limit >> 20));
}

void ScanWorker::merge(ScanWorker& other) {
    entries_.merge(other.entries_);
    parts_.insert(parts_.end(), other.parts_.begin(), other.parts_.end());
    unreadable_.insert(unreadable_.end(), other.unreadable_.begin(), other.unreadable_.end());
}

void ScanWorker::join_parts() {
    std::ranges::sort(parts_, {}, &Part::offset);
    const std::uint64_t step = image_.geometry().cluster_bytes();
    for (std::size_t i = 1; i < parts_.size(); ++i) {
        const Part& before = parts_[i - 1];
        const Part& here = parts_[i];
        const bool is_break =
            before.table == here.table && before.ends.last + step != here.ends.first;
        if (is_break) ++entries_.totals().fragmented;
    }
}

Result<ScanResult> ScanWorker::finish() {
    QED_CHECK(check_room());
    join_parts();
    std::ranges::sort(unreadable_, {}, &TablePlace::offset);
    const auto rest = std::ranges::unique(unreadable_, {}, &TablePlace::offset);
    unreadable_.erase(rest.begin(), rest.end());
    return ScanResult{std::move(entries_), std::move(unreadable_)};
}

/// The additional threads of a scan, each with its own worker and blocking executor.
class Helpers {
public:
    explicit Helpers(PieceQueue& queue) : queue_(queue) {}
    ~Helpers() {
        queue_.stop();
        join();
    }

    /// Starts one more thread. A failure to start is ignored: fewer threads do the same work.
    void start(const ImageTables& image, const CheckOptions& options) {
        Result<EntryScan> entries =
            EntryScan::create(image.limits(), image.geometry(), options.memory_limit);
        if (!entries) return;
        Helper& helper =
            helpers_.emplace_back(ScanWorker(image, options, queue_, std::move(*entries), false));
        try {
            helper.thread =
                std::thread([&helper] { helper.done = sync_wait(helper.worker.run()); });
        } catch (const std::system_error&) {
            helpers_.pop_back();
        }
    }
    void join() {
        for (Helper& helper : helpers_) {
            if (helper.thread.joinable()) helper.thread.join();
        }
    }
    Result<void> merge_into(ScanWorker& main) {
        for (Helper& helper : helpers_) {
            if (!helper.done) return pass(helper.done);
            main.merge(helper.worker);
        }
        return {};
    }

private:
    struct Helper {
        explicit Helper(ScanWorker work) : worker(std::move(work)) {}
        ScanWorker worker;
        Result<void> done;
        std::thread thread;
    };
    PieceQueue& queue_;
    std::list<Helper> helpers_;
};

unsigned threads_for(const ImageTables& image, const CheckOptions& options) {
    const std::uint64_t bytes = image.tables().size() * image.geometry().table_bytes();
    return static_cast<unsigned>(
        std::clamp<std::uint64_t>(bytes / kBytesForAThread, 1, std::max(1U, options.threads)));
}

}  // namespace

Task<Result<ScanResult>> scan_tables(const ImageTables& image, const CheckOptions& options) {
    Result<EntryScan> entries =
        EntryScan::create(image.limits(), image.geometry(), options.memory_limit);
    if (!entries) co_return pass(entries);
    PieceQueue queue(image, options);
    ScanWorker worker(image, options, queue, std::move(*entries), true);
    Helpers helpers(queue);
    for (unsigned i = 1; i < threads_for(image, options); ++i)
        helpers.start(image, options);
    Result<void> done = co_await worker.run();
    // Only the pieces that the helpers have started are left.
    helpers.join();
    if (!done) co_return pass(done);
    QED_CO_CHECK(helpers.merge_into(worker));
    co_return worker.finish();
}

}  // namespace qed
