// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/machine.hpp"
#include "sim/operation.hpp"
#include "sim/reference_disk.hpp"

namespace qed::sim {

struct NamedSetup {
    std::string name;
    ImageSetup setup;
    bool is_used = false;  ///< the image holds data before the workload starts
};

/// The setups for workloads: orders, geometries, without a backing file or with one that is shorter
/// or longer than the disk, fresh and used images.
std::vector<NamedSetup> crash_setups();

/// One symbol of the alphabet of workloads.
struct Symbol {
    char name;
    Operation operation;
    const char* meaning;
};
std::vector<Symbol> crash_alphabet(const ImageSetup& setup);
/// The operations of the symbols in `word`.
std::vector<Operation> spell(const std::vector<Symbol>& alphabet, std::string_view word);

/// An image before a workload, with the model of its content. Everything is durable.
struct PreparedImage {
    explicit PreparedImage(const NamedSetup& named);

    World world;
    ReferenceDisk disk;
    FileContent content;
};

}  // namespace qed::sim
