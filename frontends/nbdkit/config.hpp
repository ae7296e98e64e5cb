// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "qed/image.hpp"
#include "sandbox/sandbox.hpp"

namespace qed::nbdkit {

/// The key=value parameters of the plugin.
struct Config {
    std::string file;               ///< absolute, because nbdkit changes its directory
    std::string export_name;        ///< empty: every export name leads to the image
    std::string backing_directory;  ///< for BackingRule::below_directory
    std::uint64_t cache_bytes = 0;  ///< 0: the library's default
    std::chrono::milliseconds settle_after{2000};  ///< 0: only at the end
    bool compacts_when_idle = false;
    std::uint64_t compact_rate = 32U << 20;           ///< bytes a second
    std::chrono::milliseconds release_after{60'000};  ///< 0: never
    std::chrono::milliseconds grace_period{10'000};   ///< for clients that take no replies
    int control_descriptor = -1;  ///< the socket to a supervisor (Control); -1: none
    bool read_only = false;
    bool stats = false;
    sandbox::Mode sandbox = sandbox::Mode::off;
    sandbox::Needs sandbox_needs;
    OpenOptions options;

    /// Takes one parameter. On failure, reports the error to nbdkit and returns -1, as nbdkit
    /// requires.
    int set(const char* key, const char* value);
    /// Checks for missing and conflicting parameters; call this after the last one.
    int complete();
};

/// The text of `nbdkit ... --help`.
extern const char* const kConfigHelp;

}  // namespace qed::nbdkit
