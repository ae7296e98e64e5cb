// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sandbox.hpp"

#include <fmt/format.h>

#include "sandbox/landlock.hpp"
#include "sandbox/seccomp.hpp"

namespace qed::sandbox {
namespace {

// The sanitizers read /proc, start processes and map memory while the program runs.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif
#else
constexpr bool kIsSanitized = false;
#endif

Result<Missing> judge(Mode mode, Missing missing) {
    if (mode != Mode::on || missing.empty()) return missing;
    return fail(Errc::unsupported,
                fmt::format("the sandbox cannot be complete here: {}; --sandbox=auto uses the "
                            "available parts",
                            missing));
}

}  // namespace

Result<Missing> enter(Mode mode, const Needs& needs) {
    if (mode == Mode::off) return Missing();
    if (kIsSanitized)
        return judge(mode, "this is a sanitizer build, which needs the forbidden calls");
    // Landlock first, because the filter forbids the system calls that it needs.
    auto files = restrict_files(needs);
    if (!files) return files;
    auto calls = restrict_calls(needs);
    if (!calls) return calls;
    if (!files->empty() && !calls->empty()) *files += ", and ";
    return judge(mode, *files + *calls);
}

Result<Mode> parse_mode(std::string_view text) {
    if (text == "auto") return Mode::automatic;
    if (text == "on") return Mode::on;
    if (text == "off") return Mode::off;
    return fail(Errc::invalid_argument,
                fmt::format("sandbox: '{}' is not known; it is {}", text, kModeNames));
}

}  // namespace qed::sandbox
