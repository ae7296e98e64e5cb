// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace qed::detail {

[[noreturn]] void assert_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace qed::detail

/// Aborts with a message if `condition` is false, in every build. Only for bugs of libqed: a
/// condition that a file, a caller or the system can cause is an Error.
#define QED_ASSERT(condition)                          \
    (__builtin_expect(static_cast<bool>(condition), 1) \
         ? static_cast<void>(0)                        \
         : ::qed::detail::assert_failed(#condition, __FILE__, __LINE__))
