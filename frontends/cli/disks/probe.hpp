// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace qed::cli {

/// The bytes at the start of a file that format_of() wants to see, and at its end.
inline constexpr std::size_t kProbedStartBytes = 2048;
inline constexpr std::size_t kProbedEndBytes = 512;

/// The format of a file, by what qemu-img looks at: everything that QEMU knows and that can be
/// recognized. `raw` if it is none of them.
/// \param start  the first kProbedStartBytes, or the whole file
/// \param end    the last kProbedEndBytes, or nothing
std::string_view format_of(std::string_view start, std::string_view end);

}  // namespace qed::cli
