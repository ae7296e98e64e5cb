// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sim/parallel.hpp"

namespace qed::sim {

struct MutantOptions {
    unsigned jobs = 2;
    double seconds = 40;  ///< for each mutant and explorer
    std::string only;     ///< the mutant of this name
};

/// Brings each mutant of base/mutants.hpp to life and runs the explorers until one of them finds
/// it. A mutant that nobody finds is a failure. Prints who found what.
Tally hunt_mutants(const MutantOptions& options);

}  // namespace qed::sim
