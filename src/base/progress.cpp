// SPDX-License-Identifier: Apache-2.0
#include "qed/progress.hpp"

#include <string>

namespace qed {

Result<void> Progress::report(std::uint64_t done, std::uint64_t total,
                              std::string_view left_behind) const {
    if (callback == nullptr || callback(context, done, total)) return {};
    std::string message = "stopped on request";
    if (!left_behind.empty()) message.append("; ").append(left_behind);
    return fail(Errc::cancelled, std::move(message));
}

}  // namespace qed
