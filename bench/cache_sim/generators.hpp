// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "trace.hpp"

namespace qed::cache_sim {

/// The image of synthetic traces, and their length.
struct GeneratorOptions {
    std::uint64_t image_bytes = std::uint64_t{1} << 40;
    std::uint64_t cluster_bytes = 65536;
    std::uint64_t table_bytes = 262144;  ///< an L2 table maps table_bytes / 8 clusters
    std::uint64_t lookups = 2'000'000;   ///< one cluster each, except the last request of a run
    std::uint64_t seed = 1;
};

/// A synthetic workload by the name it has on the command line. The same options give the same
/// trace on every machine.
struct Generator {
    std::string_view name;
    std::string_view summary;
    Trace (*make)(const GeneratorOptions&);
};

/// Every generator, in the order of the documentation.
std::span<const Generator> all_generators();

/// The generator called `name`, or nullptr.
const Generator* find_generator(std::string_view name);

}  // namespace qed::cache_sim
