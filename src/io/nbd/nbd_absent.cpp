// SPDX-License-Identifier: Apache-2.0
// Replaces open_nbd() in a libqed that is built without libnbd (QED_WITH_NBD).
#include <fmt/format.h>

#include "qed/nbd.hpp"

namespace qed {

Result<void> load_nbd() {
    return fail(Errc::unsupported, "this libqed was built without NBD (QED_WITH_NBD)");
}

Result<std::unique_ptr<BlockFile>> open_nbd(const std::string& uri, const NbdOptions&) {
    return std::unexpected(load_nbd().error().clone().with_context(fmt::format("'{}'", uri)));
}

}  // namespace qed
