// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "capi/guard.hpp"
#include "qed/image.hpp"

namespace qed::capi {

/// A `backing_depth`: 0 is the default. \errors invalid_argument
inline Result<unsigned> depth_limit(unsigned given) {
    if (given == 0) return kDefaultBackingDepth;
    if (given <= kMaxBackingDepth) return given;
    return fail(Errc::invalid_argument, "options.backing_depth is " + std::to_string(given) +
                                            ": expected at most " +
                                            std::to_string(kMaxBackingDepth));
}

/// The members about backing files that several option structures have.
template <class Options>
Result<BackingPolicy> backing_policy(const Options& from) {
    QED_CHECK(require_choice(from.backing_rule, QED_BACKING_ANY, "options.backing_rule"));
    QED_CHECK(require_choice(from.backing_format, QED_FORMAT_QCOW2, "options.backing_format"));
    if (from.backing_rule == QED_BACKING_BELOW_DIRECTORY) {
        QED_CHECK(require(from.backing_directory, "options.backing_directory"));
    }
    BackingPolicy policy;
    policy.rule = static_cast<BackingRule>(from.backing_rule);
    policy.directory = from.backing_directory;
    policy.format = static_cast<BackingFormat>(from.backing_format);
    if constexpr (requires { from.backing_depth; }) {
        const auto depth = depth_limit(from.backing_depth);
        if (!depth) return std::unexpected(depth.error().clone());
        policy.depth_limit = *depth;
    }
    return policy;
}

/// The `lock` of a call that needs files for itself. \errors invalid_argument
inline Result<LockMode> lock_mode(int given) {
    if (given == QED_LOCK_NORMAL) return LockMode::normal;
    if (given == QED_LOCK_NONE) return LockMode::none;
    return fail(Errc::invalid_argument, "options.lock is " + std::to_string(given) +
                                            ": expected QED_LOCK_NORMAL or QED_LOCK_NONE");
}

/// `given`, where QED_FORMAT_UNSTATED means QED. \errors invalid_argument
inline Result<BackingFormat> stated_format(int given, std::string_view what) {
    QED_CHECK(require_choice(given, QED_FORMAT_QCOW2, what));
    return given == QED_FORMAT_UNSTATED ? BackingFormat::qed : static_cast<BackingFormat>(given);
}

}  // namespace qed::capi
