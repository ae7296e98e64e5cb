// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "cli/terminal/console.hpp"

namespace qed::cli {

/// The path of a QED image file that a command changes as a whole.
/// \param format  as the user stated it with -f; empty: it must look like a QED image
/// \errors unsupported (an NBD export, another format)
Result<std::string> qed_image_path(std::string_view name, std::string_view format);

/// The path of a file that becomes a backing file: a QED image, or with `format` raw a raw disk.
Result<std::string> base_path(std::string_view name, std::string_view format);

/// Warns of a long chain, and of a backing file that the default rule does not open.
void warn_about_backing(const std::string& image_path, Console& console);

}  // namespace qed::cli
