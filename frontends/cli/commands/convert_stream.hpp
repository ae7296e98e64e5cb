// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed::cli {

/// Whether `path` takes bytes in their order only: a pipe, a socket, a terminal or another
/// character device. /dev/stdout is what standard output is.
bool is_stream(const std::string& path);
/// Whether it is standard output, where no progress may be printed then.
bool is_standard_output(const std::string& path);

/// Writes `length` bytes, which start at `begin` of the concatenated sources, into a stream.
/// \errors those of reading; cancelled; io_error (EPIPE if the reader has left)
Result<void> write_stream(std::span<Image* const> sources, std::uint64_t begin,
                          std::uint64_t length, const std::string& path, const Progress& progress);

}  // namespace qed::cli
