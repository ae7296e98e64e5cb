// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "qed/api.hpp"

namespace qed {

/// The kind of a failure. The message states what failed, where, and what to do.
enum class Errc : std::uint8_t {
    invalid_argument,     ///< the caller's argument is not legal
    out_of_range,         ///< a request reaches past the end of the virtual disk
    not_found,            ///< no such file
    already_exists,       ///< a file that would be created is there
    permission_denied,    ///< the operating system refuses
    io_error,             ///< the storage failed
    no_space,             ///< the storage is full
    out_of_memory,        ///< an allocation failed; nothing was changed
    not_qed,              ///< the file does not start with a QED header
    corrupt_metadata,     ///< header or tables break the format's rules
    unsupported_feature,  ///< the image needs a feature this version does not have
    needs_check,          ///< the image must be checked and repaired first
    read_only,            ///< the image or file is not open for writing
    write_stopped,        ///< a flush failed or a table is in an unknown state: no more writes
    locked,               ///< another process uses the image in a conflicting way
    backing_refused,      ///< the backing file is not allowed by the policy, or its format unknown
    unsupported,          ///< the operation cannot be done here
    cancelled,            ///< the user asked to stop
};

/// `text` with control characters as \xNN, so that a name from an untrusted image can neither
/// control a terminal nor forge a line of a log. Bytes of UTF-8 stay unchanged.
QED_API std::string printable(std::string_view text);

/// The name of `code`, spelled as in the enumeration. For logs and JSON.
QED_API std::string_view to_string(Errc code) noexcept;

/// A failure: a code, the system's errno where there was one, and a sentence for people.
/// One pointer wide; move-only. Never empty except after being moved from.
class [[nodiscard]] QED_API Error {
public:
    Error(Errc code, std::string message, int sys_errno = 0) noexcept;
    /// Makes an Error from an errno. libqed maps errno values to codes in this function only.
    static Error from_errno(int sys_errno, std::string message) noexcept;
    /// The error for a failed allocation. Allocates nothing.
    static Error out_of_memory() noexcept;

    Error(Error&& other) noexcept : detail_(other.detail_) { other.detail_ = nullptr; }
    Error& operator=(Error&& other) noexcept;
    Error(const Error&) = delete;
    Error& operator=(const Error&) = delete;
    ~Error();

    Errc code() const noexcept;
    /// The errno that a C caller or an NBD client should receive; never 0.
    int sys_errno() const noexcept;
    /// One line. Quoted names have passed through printable().
    const std::string& message() const noexcept;

    /// The same error, its message preceded by `context` and ": ".
    Error with_context(std::string_view context) && noexcept;
    /// A copy, for a second waiter of the same failure.
    Error clone() const noexcept;

private:
    struct Detail;
    explicit Error(Detail* detail) noexcept : detail_(detail) {}
    Detail* detail_;
};

template <class T>
using Result = std::expected<T, Error>;

/// Shorthand for returning a failure from a function that returns a Result.
inline std::unexpected<Error> fail(Errc code, std::string message, int sys_errno = 0) {
    return std::unexpected(Error(code, std::move(message), sys_errno));
}

/// Passes on the error of another Result.
template <class T>
std::unexpected<Error> pass(Result<T>& failed) {
    return std::unexpected(std::move(failed.error()));
}

}  // namespace qed

/// Leaves a function with the error of a failed Result<void> expression; see QED_CO_CHECK in
/// qed/task.hpp for coroutines.
#define QED_CHECK(expression)                                       \
    do {                                                            \
        if (auto qed_checked = (expression); !qed_checked)          \
            return std::unexpected(std::move(qed_checked.error())); \
    } while (false)
