// SPDX-License-Identifier: Apache-2.0
#include "engine/compactor.hpp"

#include <algorithm>

namespace qed {

Compactor::Compactor(const WriteContext& context, ClusterMove& moves, TableCommitter& tables,
                     ClusterAllocator& allocator, const TableLayout& layout)
    : context_(context),
      moves_(moves),
      tables_(tables),
      allocator_(allocator),
      layout_(layout),
      reader_(context, layout),
      table_move_(tables.parts(), layout) {}

Task<Result<CompactStep>> Compactor::step(std::uint64_t bytes) {
    const AsyncMutex::Guard only = co_await moves_.lock().lock();
    QED_CO_CHECK(context_.flushes.check_not_failed());
    moved_ = 0;
    has_more_ = true;
    const Result<void> done = co_await run_phases(bytes);
    if (!done) {
        moves_.end();
        phase_ = Phase::begin;
        co_return std::unexpected(done.error().clone());
    }
    co_return CompactStep{.moved_bytes = moved_, .has_more = has_more_};
}

Task<Result<void>> Compactor::pause() {
    const AsyncMutex::Guard only = co_await moves_.lock().lock();
    moves_.end();
    co_return {};
}

Task<Result<void>> Compactor::run_phases(std::uint64_t bytes) {
    if (phase_ == Phase::begin) {
        QED_CO_CHECK(co_await begin());
        if (!has_more_) co_return {};
    }
    if (phase_ == Phase::reading) {
        Result<std::uint64_t> read = co_await read_tables(bytes);
        if (!read) co_return pass(read);
        if (phase_ == Phase::reading || *read >= bytes) co_return {};
        bytes -= *read;
    }
    if (phase_ == Phase::moving) co_return co_await move_owners(bytes);
    if (phase_ == Phase::tables) co_return co_await move_one_table();
    co_return {};
}

// --- The plan -----------------------------------------------------------------------------------

Task<Result<void>> Compactor::begin() {
    QED_CO_CHECK(co_await tables_.flush());
    const std::uint64_t kept_end = allocator_.kept_end();
    if (allocator_.lowest_free().value >= kept_end) {
        has_more_ = false;
        co_return {};
    }
    static_cast<void>(find_last_tables());
    changes_ = allocator_.changes();
    owners_.clear();
    next_table_ = 0;
    moved_in_phase_ = 0;
    phase_ = Phase::reading;
    co_return {};
}

/// The tables that have to move, in the order of the file. Sets data_end_: the file has so many
/// clusters without an owner before it that all data and these tables fit before kept_end().
std::vector<Compactor::Table> Compactor::find_last_tables() {
    std::vector<Table> tables;
    const std::uint64_t kept_end = allocator_.kept_end();
    const std::uint64_t count = reader_.table_count();
    for (std::uint64_t index = 0; index < count; ++index) {
        const Entry offset = reader_.table(index);
        if (is_data_entry(offset)) tables.push_back({index, offset});
    }
    std::ranges::sort(tables, {}, &Table::offset);
    data_end_ = kept_end;
    std::size_t first = tables.size();
    while (first != 0 && tables[first - 1].offset + layout_.table_bytes() > data_end_) {
        --first;
        data_end_ -= std::min(data_end_, layout_.table_bytes());
    }
    tables.erase(tables.begin(), tables.begin() + static_cast<std::ptrdiff_t>(first));
    return tables;
}

/// Returns the number of bytes that were read, at least one table.
Task<Result<std::uint64_t>> Compactor::read_tables(std::uint64_t bytes) {
    const auto add = [this](std::uint64_t guest_cluster, std::uint64_t file_cluster) {
        add_owner({.file_cluster = file_cluster, .guest_cluster = guest_cluster});
    };
    std::uint64_t done = 0;
    const std::uint64_t count = reader_.table_count();
    for (; next_table_ < count && done < std::max<std::uint64_t>(bytes, 1); ++next_table_) {
        if (!is_data_entry(reader_.table(next_table_))) continue;
        QED_CO_CHECK(co_await reader_.read(next_table_, add));
        done += layout_.table_bytes();
    }
    if (next_table_ >= count) {
        std::ranges::sort(owners_, {}, &Owner::file_cluster);
        phase_ = owners_.empty() ? Phase::tables : Phase::moving;
    }
    co_return done;
}

void Compactor::add_owner(Owner owner) {
    const auto is_later = [](const Owner& left, const Owner& right) {
        return left.file_cluster > right.file_cluster;
    };
    if (owner.file_cluster << context_.cluster.bits() < data_end_) return;
    if (owners_.size() == kMostOwners) {  // a heap, the first owner on top
        if (owner.file_cluster <= owners_.front().file_cluster) return;
        std::ranges::pop_heap(owners_, is_later);
        owners_.pop_back();
    }
    owners_.push_back(owner);
    std::ranges::push_heap(owners_, is_later);
}

// --- Data ---------------------------------------------------------------------------------------

/// Moves the last owners, in the order of the disk, so that neighbours stay neighbours.
Task<Result<void>> Compactor::move_owners(std::uint64_t bytes) {
    if (!moves_.begin()) co_return {};
    const std::uint64_t count =
        std::clamp<std::uint64_t>(bytes >> context_.cluster.bits(), 1, owners_.size());
    const std::span last = std::span(owners_).last(count);
    std::ranges::sort(last, {}, &Owner::guest_cluster);
    std::vector<ClusterMove::Plan> plans;
    plans.reserve(count);
    for (const Owner& owner : last) {
        const FileOffset from{owner.file_cluster << context_.cluster.bits()};
        const ClusterRun to = allocator_.reserve_below({std::min(data_end_, from.value)}, 1);
        if (to.clusters == 0) break;
        plans.push_back({.guest_cluster = owner.guest_cluster, .from = from, .to = to});
    }
    const Result<std::uint64_t> moved = co_await moves_.run(plans);
    if (!moved) co_return std::unexpected(moved.error().clone());
    moves_.end();
    moved_ += *moved;
    owners_.resize(owners_.size() - count);
    moved_in_phase_ += moved_;
    if (!owners_.empty()) co_return {};
    phase_ = moved_in_phase_ != 0 ? Phase::begin : Phase::tables;
    moved_in_phase_ = 0;
    co_return {};
}

// --- Tables -------------------------------------------------------------------------------------

/// The last table goes into the first free run that is long enough. Where there is none, the table
/// right after the first free cluster goes to the end of the file.
Task<Result<void>> Compactor::move_one_table() {
    const AsyncMutex::Guard tables = co_await tables_.table_lock().lock();
    QED_CO_CHECK(co_await tables_.write_deferred());
    QED_CO_CHECK(co_await context_.flushes.flush());
    const std::vector<Table> last = find_last_tables();
    const bool is_packed = allocator_.lowest_free().value >= allocator_.kept_end();
    if (last.empty() || is_packed) {
        end_plan();
        co_return {};
    }
    Table table = last.back();
    ClusterRun to = allocator_.reserve_between({data_end_}, {table.offset}, layout_.table_clusters);
    if (to.clusters == 0) {
        if (allocator_.has_waiting()) co_return {};  // for requests in flight
        const std::uint64_t gap_end = allocator_.end_of_first_free({data_end_}).value;
        const auto after = std::ranges::find(last, gap_end, &Table::offset);
        if (after == last.end()) {
            end_plan();
            co_return {};
        }
        table = *after;
        Result<ClusterRun> lifted = allocator_.reserve_table(layout_.table_clusters);
        if (!lifted) co_return pass(lifted);
        to = *lifted;
    }
    QED_CO_CHECK(co_await table_move_.run(table.l1_index, to.offset));
    moved_ += layout_.table_bytes();
    moved_in_phase_ += layout_.table_bytes();
    co_return {};
}

void Compactor::end_plan() noexcept {
    has_more_ = moved_in_phase_ != 0 || allocator_.changes() != changes_;
    phase_ = Phase::begin;
}

}  // namespace qed
