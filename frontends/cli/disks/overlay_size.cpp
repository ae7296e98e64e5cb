// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/overlay_size.hpp"

#include <bit>

#include <fmt/format.h>

#include "cli/terminal/sizes.hpp"
#include "qed/geometry.hpp"

namespace qed::cli {

void add_cluster_size_option(CLI::App& app, std::string& cluster) {
    app.add_option("--cluster-size", cluster, "Of the new overlay, such as 16K")->type_name("SIZE");
}

Result<std::uint32_t> overlay_cluster_bytes(const std::string& cluster) {
    if (cluster.empty()) return 0U;
    auto bytes = parse_size(cluster, "--cluster-size");
    if (!bytes) return pass(bytes);
    if (*bytes < kMinClusterBytes || *bytes > kMaxClusterBytes || !std::has_single_bit(*bytes)) {
        return fail(Errc::invalid_argument,
                    fmt::format("--cluster-size: '{}' is no power of two from 4K to 64M", cluster));
    }
    return static_cast<std::uint32_t>(*bytes);
}

}  // namespace qed::cli
