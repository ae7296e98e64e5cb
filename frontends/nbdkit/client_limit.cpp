// SPDX-License-Identifier: Apache-2.0
#include "client_limit.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "api.hpp"
#include "sandbox/descriptor_limit.hpp"

namespace qed::nbdkit {
namespace {

/// For clients that connect at the same time, before any of them was refused.
constexpr rlim_t kReserve = 64;

}  // namespace

bool ClientLimit::admits() noexcept {
    const rlim_t limit = sandbox::descriptor_limit();
    const rlim_t reserve = std::min(kReserve, limit / 8);
    // The kernel gives the lowest free number.
    const int lowest_free = ::dup(STDERR_FILENO);
    if (lowest_free >= 0) ::close(lowest_free);
    if (lowest_free >= 0 && static_cast<rlim_t>(lowest_free) + reserve < limit) {
        has_said_.store(false, std::memory_order_relaxed);
        return true;
    }
    if (!has_said_.exchange(true, std::memory_order_relaxed)) {
        nbdkit_error(
            "clients are refused: this server may open %llu files (ulimit -n), and few "
            "are left",
            static_cast<unsigned long long>(limit));
    }
    return false;
}

}  // namespace qed::nbdkit
