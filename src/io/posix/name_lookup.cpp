// SPDX-License-Identifier: Apache-2.0
#include "io/posix/name_lookup.hpp"

#include <fcntl.h>
#include <linux/openat2.h>

#include "io/posix/standard_descriptors.hpp"

namespace qed {

UniqueDescriptor NameLookup::open(int flags) const noexcept {
    if (resolve == 0) {
        return UniqueDescriptor(open_above_standard(directory, path, flags, 0644));
    }
    open_how how{};
    how.flags = static_cast<unsigned>(flags);
    how.resolve = resolve;
    return UniqueDescriptor(open_above_standard(directory, path, how));
}

bool NameLookup::examine(struct stat& status) const noexcept {
    if (resolve == 0) return ::fstatat(directory, path, &status, 0) == 0;
    const UniqueDescriptor found = open(O_PATH | O_CLOEXEC);
    return found && ::fstat(found.get(), &status) == 0;
}

}  // namespace qed
