// SPDX-License-Identifier: Apache-2.0
#include "capi/guard.hpp"

#include "qed/version.hpp"

namespace qed::capi {
namespace {

/// The codes of both interfaces are the same list; the C one has "no error" in front.
constexpr int c_code(Errc code) {
    return static_cast<int>(code) + 1;
}
static_assert(c_code(Errc::invalid_argument) == QED_INVALID_ARGUMENT);
static_assert(c_code(Errc::io_error) == QED_IO_ERROR);
static_assert(c_code(Errc::out_of_memory) == QED_OUT_OF_MEMORY);
static_assert(c_code(Errc::unsupported_feature) == QED_UNSUPPORTED_FEATURE);
static_assert(c_code(Errc::write_stopped) == QED_WRITE_STOPPED);
static_assert(c_code(Errc::cancelled) == QED_CANCELLED);

}  // namespace

int report(const Error& failure, qed_error* error) noexcept {
    const int code = c_code(failure.code());
    if (error == nullptr) return code;
    error->code = code;
    error->sys_errno = failure.sys_errno();
    const std::string& message = failure.message();
    const std::size_t bytes = std::min(message.size(), sizeof error->message - 1);
    std::memcpy(error->message, message.data(), bytes);
    error->message[bytes] = '\0';
    return code;
}

Result<void> require_choice(int value, int last, std::string_view what) {
    if (value >= 0 && value <= last) return {};
    return fail(Errc::invalid_argument, std::string(what) + " is " + std::to_string(value) +
                                            ": expected 0 to " + std::to_string(last));
}

}  // namespace qed::capi

const char* qed_version(void) {
    return qed::kVersion.data();
}

const char* qed_error_name(int code) {
    if (code == QED_OK) return "ok";
    if (code < QED_OK || code > QED_CANCELLED) return "unknown";
    return qed::to_string(static_cast<qed::Errc>(code - 1)).data();
}
