// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef QED_WITHOUT_PROBES

namespace qed::detail {
template <class... Arguments>
constexpr void no_probe(const Arguments&...) noexcept {}
}  // namespace qed::detail

#define QED_TRACE(name, ...) ::qed::detail::no_probe(__VA_ARGS__)

#else

// sys/sdt.h offers the variadic form only when asked.
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

/// A static probe `qed:name` with up to 12 integers or pointers, for bpftrace, perf and SystemTap.
/// One nop if no tracer uses it; the arguments must be cheap to compute. docs/tracing.md lists all.
#define QED_TRACE(name, ...) STAP_PROBEV(qed, name __VA_OPT__(, ) __VA_ARGS__)

#endif
