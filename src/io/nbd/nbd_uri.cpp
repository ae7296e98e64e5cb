// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "qed/nbd.hpp"

namespace qed {

bool is_nbd_uri(std::string_view name) {
    constexpr std::string_view schemes[] = {"nbd://",       "nbds://",      "nbd+unix://",
                                            "nbds+unix://", "nbd+vsock://", "nbds+vsock://"};
    return std::ranges::any_of(
        schemes, [name](std::string_view scheme) { return name.starts_with(scheme); });
}

}  // namespace qed
