// SPDX-License-Identifier: Apache-2.0
#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace qed::detail {

void assert_failed(const char* expression, const char* file, int line) noexcept {
    fmt::print(stderr, "libqed: {}:{}: internal error: assertion failed: {}\n", file, line,
               expression);
    std::abort();
}

}  // namespace qed::detail
