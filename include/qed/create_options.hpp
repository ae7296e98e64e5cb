// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "qed/open_options.hpp"

namespace qed {

enum class Preallocation : std::uint8_t {
    off,
    metadata,  ///< all clusters are mapped, the file is sparse: first writes happen in place
    falloc,    ///< the same, with the space reserved
    full,      ///< the same, with zeroes written
};

/// The properties of a new image. Trivially destructible, like OpenOptions.
struct CreateOptions {
    const char* format = "qed";     ///< name of a registered format
    std::uint64_t image_bytes = 0;  ///< multiple of 512; 0 with a backing file: its size
    std::uint32_t cluster_bytes = 65536;
    std::uint32_t table_clusters = 4;
    const char* backing_name = nullptr;  ///< stored as it is; relative to the new image's directory
    BackingFormat backing_format = BackingFormat::unstated;  ///< must be stated with a name
    bool check_backing = true;  ///< open the backing file and take its size
    Preallocation preallocation = Preallocation::off;
    bool exclusive = false;                       ///< fail when the file exists
    unsigned depth_limit = kDefaultBackingDepth;  ///< fail with more backing files than this
    /// For the backing file, and for a file that is replaced: normal or none.
    LockMode lock = LockMode::normal;
};
static_assert(std::is_trivially_destructible_v<CreateOptions>);

}  // namespace qed
