// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sim/parallel.hpp"

namespace qed::sim {

struct MutantOptions {
    unsigned jobs = 2;
    double seconds = 20;  ///< for each mutant and place where it is looked for
    std::string only;     ///< the mutant of this name
};

/// Brings each mutant of base/mutants.hpp to life and runs the explorer that should find it, then
/// all of them until one does. A mutant that nobody finds is a failure, and so is anything that is
/// found without a mutant. Prints who found what.
Tally hunt_mutants(const MutantOptions& options);

}  // namespace qed::sim
