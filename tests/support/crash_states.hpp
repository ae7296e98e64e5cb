// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "support/memory_file.hpp"

namespace qed::test {

/// A content that a file may have after a power cut: everything up to the last flush before `cut`,
/// and any part of the later changes, torn at sectors, as `random` chooses.
inline MemoryFile crash_state(const MemoryFile& before, std::span<const FileChange> history,
                              std::size_t cut, std::mt19937_64& random) {
    MemoryFile file(before);
    std::size_t durable = cut;
    while (durable > 0 && history[durable - 1].kind != IoKind::flush)
        --durable;
    for (const FileChange& change : history.first(durable))
        file.apply(change);
    // Whole changes find other faults than a random choice for each sector.
    const bool is_torn = random() % 2 == 0;
    for (const FileChange& change : history.subspan(durable, cut - durable)) {
        if (change.kind != IoKind::write || !is_torn) {
            if (random() % 2 == 0) file.apply(change);
            continue;
        }
        for (std::uint64_t done = 0; done < change.length;) {
            const std::uint64_t at = change.offset + done;
            const std::uint64_t part =
                std::min(kSectorBytes - at % kSectorBytes, change.length - done);
            if (random() % 2 == 0) file.store(at, std::span(change.data).subspan(done, part));
            done += part;
        }
    }
    return file;
}

}  // namespace qed::test
