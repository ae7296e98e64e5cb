// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/format_registry.hpp"

namespace qed {

/// The formats of this process: those that are built in, and what was added to them.
FormatRegistry& format_registry();

}  // namespace qed
