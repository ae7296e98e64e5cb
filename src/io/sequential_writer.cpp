// SPDX-License-Identifier: Apache-2.0
#include "io/sequential_writer.hpp"

#include <fcntl.h>

namespace qed {

void begin_writeback(BlockFile& file) noexcept {
    // Fails for files that are not on this machine; it is only a hint.
    if (file.descriptor() >= 0) sync_file_range(file.descriptor(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

}  // namespace qed
