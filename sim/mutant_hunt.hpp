// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sim/parallel.hpp"

namespace qed::sim {

struct MutantOptions {
    unsigned jobs = 2;
    double seconds = 20;  ///< for each mutant and explorer
    std::string only;     ///< only the mutant with this name
};

/// Enables each mutant of base/mutants.hpp and runs the explorer that should find it, then all
/// explorers until one does. A mutant that no explorer finds is a failure, and so is a finding
/// without a mutant. Prints each mutant with the explorer and check that found it.
Tally hunt_mutants(const MutantOptions& options);

}  // namespace qed::sim
