// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "qed/open_options.hpp"

namespace qed {

/// The backing file that an image's header names.
struct BackingReference {
    std::string name;  ///< as it is stored; empty: the image has none
    BackingFormat format = BackingFormat::unstated;
    /// A header of this kind should state the format, and this one does not. The caller has to: not
    /// even the choice between formats with a header is a guess that could be right.
    bool must_be_stated = false;
};

/// What only one format has: a name as `qemu-img info --output=json` uses it, and the value.
struct LayerProperty {
    std::string_view name;  ///< a string literal, such as "lazy-refcounts"
    std::variant<bool, std::uint64_t, std::string> value;
};

/// The properties of an open layer that all formats have.
struct LayerInfo {
    std::string_view format;          ///< the name of its format: "qed", "raw", ...
    std::uint64_t cluster_bytes = 0;  ///< unit of allocation; 0: all of it is allocated
    BackingReference backing;
    bool is_dirty = false;                  ///< was not closed cleanly when it was opened
    std::vector<LayerProperty> properties;  ///< empty for raw and QED

    bool has_backing() const noexcept { return !backing.name.empty(); }
};

}  // namespace qed
