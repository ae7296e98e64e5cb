// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qed/error.hpp"

namespace qed::sandbox {

/// Whether the sandbox is required.
enum class Mode : std::uint8_t {
    automatic,  ///< use the parts that this kernel has
    on,         ///< use all parts, or fail
    off,
};

/// The rights that a program needs after its files and sockets are open, besides reading and
/// writing them and starting threads.
struct Needs {
    bool accepts_clients = false;             ///< on the sockets that listen already
    std::vector<std::string> naming_folders;  ///< where open files without a name get one
    std::vector<std::string> reread;          ///< files that are opened for reading repeatedly
};

/// The parts that enter() could not provide, in words; empty if the sandbox is complete.
using Missing = std::string;

/// Permanently gives up the rights that the process does not need. It can then open no file, start
/// no program, make no connection, signal no other process, set up no io_uring and make no memory
/// executable. Call this once, while the process has one thread: Landlock restricts the calling
/// thread and the threads that it starts.
/// \errors unsupported (Mode::on, and the kernel lacks a part), not_found (a path of `needs`)
/// \source docs/adr/0010-sandbox.md
Result<Missing> enter(Mode mode, const Needs& needs);

/// auto, on or off.
inline constexpr std::string_view kModeNames = "auto, on or off";
Result<Mode> parse_mode(std::string_view text);

}  // namespace qed::sandbox
