// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "qed/error.hpp"
#include "qed/qed.h"

// Shared by all C functions: errors without exceptions, and structures that may be older or newer
// than the library.

namespace qed::capi {

/// Fills in `error`, if it is not NULL, and returns the code.
int report(const Error& failure, qed_error* error) noexcept;

/// Runs `work`, which returns a Result<void>, for a C caller.
template <class Work>
int guarded(qed_error* error, Work work) noexcept {
    try {
        const Result<void> done = work();
        return done ? int{QED_OK} : report(done.error(), error);
    } catch (const std::bad_alloc&) {
        return report(Error::out_of_memory(), error);
    }
}

/// \errors invalid_argument if `pointer` is NULL
template <class Pointed>
Result<void> require(const Pointed* pointer, std::string_view what) {
    if (pointer != nullptr) return {};
    return fail(Errc::invalid_argument, std::string(what) + " is NULL");
}

/// \errors invalid_argument if `value` is not in 0 .. `last`
Result<void> require_choice(int value, int last, std::string_view what);

/// \errors invalid_argument if a caller's structure is NULL or does not state its size
template <class Struct>
Result<void> require_structure(const Struct* given, std::string_view what) {
    QED_CHECK(require(given, what));
    if (given->struct_bytes >= sizeof given->struct_bytes) return {};
    return fail(Errc::invalid_argument,
                std::string(what) + ".struct_bytes is not set: set it to the structure's size");
}

/// A copy of a caller's structure. Members that an older structure lacks are zero.
/// \errors invalid_argument if it was made for a newer library and sets members that are new there
template <class Struct>
Result<Struct> structure_of(const Struct* given, std::string_view what) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    Struct known{};
    if (given == nullptr) return known;
    QED_CHECK(require_structure(given, what));
    const std::size_t bytes = given->struct_bytes;
    const auto* from = reinterpret_cast<const std::byte*>(given);
    const std::size_t shared = std::min(bytes, sizeof known);
    const std::span unknown(from + shared, bytes - shared);
    if (std::ranges::any_of(unknown, [](std::byte byte) { return byte != std::byte{0}; })) {
        return fail(Errc::invalid_argument,
                    std::string(what) + " sets members that this version of libqed does not know");
    }
    std::memcpy(&known, from, shared);
    return known;
}

/// Fills in the members that the caller's structure has.
template <class Struct>
Result<void> fill_structure(Struct* given, Struct known, std::string_view what) {
    QED_CHECK(require_structure(given, what));
    known.struct_bytes = given->struct_bytes;
    std::memcpy(given, &known, std::min(given->struct_bytes, sizeof known));
    return {};
}

}  // namespace qed::capi
