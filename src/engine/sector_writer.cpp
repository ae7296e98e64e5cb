// SPDX-License-Identifier: Apache-2.0
#include "engine/sector_writer.hpp"

#include <algorithm>
#include <vector>

#include "base/assert.hpp"

namespace qed {

void SectorWriter::place(SectorRuns& runs) noexcept {
    for (SectorRun& run : runs.all()) {
        run.buffer_offset = planned_bytes_;
        planned_bytes_ += run.bytes();
    }
}

Result<void> SectorWriter::allocate() {
    Result<AlignedBuffer> buffer =
        AlignedBuffer::create(std::max<std::size_t>(planned_bytes_, 1), file_.alignment().memory);
    if (!buffer) return pass(buffer);
    buffer_ = std::move(*buffer);
    return {};
}

Task<Result<void>> SectorWriter::write(SectorRuns& runs) {
    std::pmr::vector<IoOp> ops(&memory_);
    ops.reserve(runs.all().size());
    for (SectorRun& run : runs.all()) {
        if (run.error) continue;
        const auto raw = content(run);
        QED_ASSERT(run.file_offset % unit_ == 0 && !raw.empty() && raw.size() % unit_ == 0);
        ops.push_back(file_.write(FileOffset{run.file_offset}, raw));
        write_bytes_ += raw.size();
    }
    write_count_ += ops.size();
    IoBatch batch;
    batch.ops = ops.data();
    batch.count = ops.size();
    static_cast<void>(co_await batch);
    auto op = ops.begin();
    for (SectorRun& run : runs.all()) {
        if (run.error) continue;
        Result<void> done = (op++)->outcome();
        run.is_written = done.has_value();
        if (done) continue;
        run.error.emplace(std::move(done.error()).with_context("writing the image's tables"));
        has_failed_ = true;
    }
    co_return {};
}

}  // namespace qed
