// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_descriptor.hpp"
#include "qed/block_file.hpp"
#include "qed/files.hpp"

namespace qed {

/// A name that can be looked up more than once, each time in the same way.
struct NameLookup {
    int directory = -1;         ///< the name starts here; AT_FDCWD: the current directory
    const char* path = "";      ///< outlives this
    std::uint64_t resolve = 0;  ///< RESOLVE_ flags of openat2()

    /// A descriptor above 2, or -1 and errno.
    UniqueDescriptor open(int flags) const noexcept;
    /// What the name leads to now. False: nothing, or it may not be looked at.
    bool examine(struct stat& status) const noexcept;
};

/// Opens what `lookup` leads to, takes the lock of `options`, and makes sure that the name still
/// leads to the locked file: another process may have renamed a file over it in between. Tries a
/// few times. `name` is what messages and the file call it.
/// \errors as of open_file()
Result<std::unique_ptr<BlockFile>> open_and_lock(const NameLookup& lookup, std::string name,
                                                 const FileOptions& options);

}  // namespace qed
