// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "qed/open_options.hpp"

namespace qed {

/// The backing file that an image's header names.
struct BackingReference {
    std::string name;  ///< as it is stored; empty: the image has none
    BackingFormat format = BackingFormat::unstated;
};

/// The properties of an open layer that all formats have.
struct LayerInfo {
    std::string_view format;          ///< the name of its format: "qed", "raw", ...
    std::uint64_t cluster_bytes = 0;  ///< unit of allocation; 0: all of it is allocated
    BackingReference backing;

    bool has_backing() const noexcept { return !backing.name.empty(); }
};

}  // namespace qed
