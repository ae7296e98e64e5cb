// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "qed/image.hpp"
#include "sandbox/sandbox.hpp"

namespace qed::nbdkit {

/// What the key=value parameters of the plugin say.
struct Config {
    std::string file;               ///< absolute: nbdkit changes directory before it serves
    std::string export_name;        ///< empty: any name that a client asks for is served
    std::string backing_directory;  ///< for BackingRule::below_directory
    std::uint64_t cache_bytes = 0;  ///< 0: the library's default
    std::chrono::milliseconds settle_after{2000};     ///< 0: only at the end
    std::chrono::milliseconds release_after{60'000};  ///< 0: never
    int control_descriptor = -1;  ///< the line to a supervisor (Control); -1: there is none
    bool read_only = false;
    bool stats = false;
    sandbox::Mode sandbox = sandbox::Mode::off;
    sandbox::Needs sandbox_needs;
    OpenOptions options;

    /// Takes one parameter. On failure nbdkit has been told, and -1 is returned, as nbdkit wants
    /// it.
    int set(const char* key, const char* value);
    /// After the last parameter: what is missing or does not go together.
    int complete();
};

/// The text of `nbdkit ... --help`.
extern const char* const kConfigHelp;

}  // namespace qed::nbdkit
