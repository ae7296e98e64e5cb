// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/block_file.hpp"

namespace qed {

/// The descriptors of files, for src/io alone (scripts/layers.py): no other code may depend on a
/// storage that has one.
class DescriptorAccess {
public:
    /// The descriptor of the open file, which keeps it; -1 where the storage has none.
    static int of(const BlockFile& file) noexcept { return file.descriptor(); }
};

}  // namespace qed
