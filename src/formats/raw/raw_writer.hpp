// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "io/sequential_writer.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// Writes a raw file or device, which is at least `bytes` long afterwards.
std::unique_ptr<SequentialWriter> make_raw_writer(BlockFile& file, std::uint64_t bytes,
                                                  const WriterOptions& options);

}  // namespace qed
