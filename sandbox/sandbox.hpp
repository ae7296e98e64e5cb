// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qed/error.hpp"

namespace qed::sandbox {

/// How much a user insists on the sandbox.
enum class Mode : std::uint8_t {
    automatic,  ///< as much of it as this kernel has
    on,         ///< all of it, or fail
    off,
};

/// What a program still does after its files and sockets are open, beyond reading and writing
/// them and starting threads.
struct Needs {
    bool accepts_clients = false;             ///< on the sockets that listen already
    std::vector<std::string> naming_folders;  ///< where open files without a name get one
    std::vector<std::string> reread;          ///< files that are opened for reading again and again
};

/// What enter() could not do, in words; empty when the sandbox is complete.
using Missing = std::string;

/// Gives up, for good, what the process does not need: no further file is opened, no program
/// started, no connection made, no other process touched, no io_uring set up, no memory made
/// executable. To be called once, while the process has one thread: Landlock binds the calling
/// thread and those it starts.
/// \errors unsupported (Mode::on, and the kernel lacks a part), not_found (a path of `needs`)
/// \source docs/adr/0010-sandbox.md
Result<Missing> enter(Mode mode, const Needs& needs);

/// auto, on or off.
inline constexpr std::string_view kModeNames = "auto, on or off";
Result<Mode> parse_mode(std::string_view text);

}  // namespace qed::sandbox
