// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/format_registry.hpp"

namespace qed {

/// The formats of this process: the built-in ones and those that the program has added.
FormatRegistry& format_registry();

}  // namespace qed
