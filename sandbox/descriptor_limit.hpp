// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace qed::sandbox {

/// Lets this process, and the programs that it starts, open as many files as the system
/// administrator allows it (the hard limit). The usual soft limit is for programs that call
/// select(), and a long chain or many clients exceed it.
inline void raise_descriptor_limit() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    // On failure the process keeps the limit that it has.
    [[maybe_unused]] const int raised = ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The number of descriptors that this process may have open.
inline rlim_t descriptor_limit() noexcept {
    rlimit limit{};
    return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace qed::sandbox
