// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>

namespace qed::detail {

/// Bugs that the tests plant to prove that they find them (docs/testing.md). They exist only in
/// builds with QED_MUTANTS=1, never in a release.
enum class Mutant : std::uint8_t {
    none,
    publish_before_write,           ///< readers see an entry before its table write succeeded
    keep_table_after_failed_write,  ///< the entry stays in memory although its write failed
    no_flush_after_need_check,      ///< entries may reach the disk before NEED_CHECK does
    need_check_never_set,           ///< ordered writes leave the image marked clean
    clear_need_check_after_failed_flush,
    clear_need_check_before_flush,  ///< the bit is cleared before the data is durable
    failed_flush_is_forgotten,      ///< writes continue after a failed flush
    no_flush_before_entries,        ///< strict order without its flush
    l1_before_l2,                   ///< the L1 entry names a table that is not on the disk yet
    commit_stale_load,              ///< a load from before an update or eviction is committed
    allocate_named_past_eof,        ///< the end of the file counts as the end of the named clusters
    reuse_before_unlink_durable,    ///< a freed cluster is reused at once
    lost_head_fill,                 ///< bytes before a partial write are not copied
    lost_tail_fill,                 ///< bytes after a partial write are not copied
    zero_cluster_shows_backing,     ///< a partial write to a zero cluster copies from the base
    group_error_dropped,            ///< only the first member of a group gets its error
    no_second_lookup,               ///< the mapping is not looked up again under the range lock
    flush_does_nothing,             ///< a guest flush returns before the file is flushed
    fua_without_flush,
    grow_shows_backing,           ///< new space reads from the base
    shrink_keeps_entries,         ///< data that was cut off is back after growing
    scan_misses_table,            ///< open takes the clusters that one table names for free space
    named_cluster_found_free,     ///< open takes a named cluster for free space
    reuse_found_without_flush,    ///< space that open found free is reused before a flush
    cut_pending_tail,             ///< the file is cut before a cluster that a waiting table names
    moved_data_not_flushed,       ///< an entry names a moved cluster before its copy is durable
    moved_table_not_flushed,      ///< an L1 entry names a moved table before its copy is durable
    old_place_free_before_entry,  ///< a moved cluster's old place is free before its entry is
    move_without_lookup,  ///< a cluster is moved although another request has mapped it elsewhere
    move_without_gate,    ///< a cluster is moved while a write in place is in flight
    count_,
};

#if defined(QED_MUTANTS) && QED_MUTANTS
/// The enabled mutant: set by the test, or by its number in the environment.
inline Mutant living_mutant = [] {
    const char* number = std::getenv("QED_MUTANT");
    return static_cast<Mutant>(number != nullptr ? std::atoi(number) : 0);
}();
inline bool mutant(Mutant which) noexcept {
    return living_mutant == which;
}
#else
constexpr bool mutant(Mutant) noexcept {
    return false;
}
#endif

}  // namespace qed::detail
