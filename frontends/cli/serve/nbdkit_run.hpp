// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "cli/disks/descriptor.hpp"
#include "qed/error.hpp"

namespace qed::cli {

/// Delivers TERM, INT, HUP and CHLD as bytes that can be read from a descriptor, instead of
/// interrupting the program; a signal that was ignored stays ignored. Exists while there are files
/// to remove.
class StopSignals {
public:
    StopSignals();
    int descriptor() const { return descriptor_.get(); }
    /// The signal mask before, for a program that is started.
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

/// Runs nbdkit in the foreground until it ends or a signal stops it; then nbdkit finishes the
/// requests in flight and closes the image. A second TERM or INT kills nbdkit, which then closes
/// nothing. nbdkit also stops when this process dies.
/// \param on_ready  called once, when the image is open and clients can connect
/// \errors io_error  nbdkit could not start (it has said why on standard error), was killed, or
///                   could not flush and close the image
Result<void> run_nbdkit(const NbdkitRun& run, const StopSignals& signals,
                        const std::function<void()>& on_ready);

}  // namespace qed::cli
