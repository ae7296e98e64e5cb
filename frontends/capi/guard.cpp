// SPDX-License-Identifier: Apache-2.0
#include "capi/guard.hpp"

#include <array>

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

struct Wording {
    std::string_view of_program;
    std::string_view of_interface;
};
/// Advice in the library's messages names commands and options of the program. This table gives
/// callers of this interface what they have instead. Longer texts come before those that they
/// contain.
constexpr std::array<Wording, 7> kWordings = {{
    {"'qed check -r all'", "qed_check() with QED_REPAIR_ALL"},
    {"'qed check'", "qed_check()"},
    {"--backing=any or --backing=dir:PATH", "QED_BACKING_ANY or QED_BACKING_BELOW_DIRECTORY"},
    {"(-F raw, or --backing-format raw)", "(backing_format QED_FORMAT_RAW)"},
    {"-U (--force-share)", "QED_LOCK_FORCE_SHARED"},
    {"--no-lock", "QED_LOCK_NONE"},
    {"--shrink", "allow_data_loss"},
}};

std::string worded_for_c(std::string message) {
    for (const Wording& wording : kWordings) {
        const std::size_t at = message.find(wording.of_program);
        if (at == std::string::npos) continue;
        message.replace(at, wording.of_program.size(), wording.of_interface);
    }
    return message;
}

/// If there is no memory for another message: the message of the library.
void copy_message(const std::string& message, qed_error& error) noexcept {
    const std::size_t bytes = std::min(message.size(), sizeof error.message - 1);
    std::memcpy(error.message, message.data(), bytes);
    error.message[bytes] = '\0';
}

}  // namespace

int report(const Error& failure, qed_error* error) noexcept {
    const int code = c_code(failure.code());
    if (error == nullptr) return code;
    error->code = code;
    error->sys_errno = failure.sys_errno();
    try {
        copy_message(worded_for_c(failure.message()), *error);
    } catch (const std::bad_alloc&) {
        copy_message(failure.message(), *error);
    }
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
