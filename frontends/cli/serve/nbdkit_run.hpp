// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "cli/disks/descriptor.hpp"
#include "qed/error.hpp"

namespace qed::cli {

/// TERM, INT and HUP, and CHLD, as bytes to be read from a descriptor instead of interruptions.
/// Lives from before the first file is made until after the last one is removed.
class StopSignals {
public:
    StopSignals();
    int descriptor() const { return descriptor_.get(); }
    /// The signals of the process as they were, for a program to be started.
    const sigset_t& original_mask() const { return original_; }

private:
    sigset_t original_{};
    Descriptor descriptor_;
};

/// How to run nbdkit with the plugin of libqed.
struct NbdkitRun {
    std::string program;                 ///< path of nbdkit
    std::vector<std::string> arguments;  ///< without argv[0]; the plugin and its parameters last
    const std::vector<Descriptor>& sockets;  ///< listening
};

/// Runs nbdkit in the foreground until it ends or a signal says stop; then nbdkit finishes the
/// requests under way and closes the image. nbdkit is told to stop as well when this process dies.
/// \param on_ready  called once, when the image is open and clients are served
/// \errors io_error  nbdkit could not start (it has said why on standard error), was killed, or
///                   could not flush and close the image
Result<void> run_nbdkit(const NbdkitRun& run, const StopSignals& signals,
                        const std::function<void()>& on_ready);

}  // namespace qed::cli
