// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "qed/error.hpp"

namespace qed::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;

/// The output of a command: results on `out`, everything else on `err`.
class Console {
public:
    Console(std::FILE* out, std::FILE* err);
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;

    template <class... Args>
    void print(fmt::format_string<Args...> format, Args&&... args) {
        write(fmt::format(format, std::forward<Args>(args)...));
    }
    void write(std::string_view text);
    /// `qed: <message>` on the error stream. \returns kExitError
    int fail(const Error& error);
    int fail(std::string_view message);
    void warn(std::string_view message);
    /// Writes text to the error stream unchanged; for progress.
    void write_error(std::string_view text);

    void flush();

    bool out_is_terminal() const { return out_is_terminal_; }
    bool err_is_terminal() const { return err_is_terminal_; }
    /// Writes buffered output. \returns `status`, or kExitError if output was lost.
    int finish(int status);

    int exit_status = kExitOk;  ///< set by the command that ran

private:
    std::FILE* out_;
    std::FILE* err_;
    bool out_is_terminal_;
    bool err_is_terminal_;
    int write_errno_ = 0;
};

/// Ctrl-C and TERM during a long operation: the first signal asks it to stop cleanly, the second
/// signal ends the program at once.
class Interrupts {
public:
    /// Comes first in main(): makes USR1 ask for progress, which must not end a command that has
    /// not begun, or shows none.
    static void prepare();
    /// Starts to catch the signals that stop a program; before this they have their usual effect.
    /// A reader of the output that goes away no longer ends the program either.
    static void watch();
    /// Whether a signal was ignored when the program started; then it stays ignored.
    static bool is_ignored(int number);
    static bool requested();
    /// Whether USR1 asked for a line of progress since the last call.
    static bool progress_wanted();
    /// Ends the program by the signal that was caught; call this after cleaning up. Returns if none
    /// was caught.
    static void die();
};

}  // namespace qed::cli
