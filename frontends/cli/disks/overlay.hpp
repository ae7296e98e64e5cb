// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/disks/disk.hpp"
#include "qed/header.hpp"

namespace qed::cli {

/// One file of a chain, from the top.
struct ChainFile {
    std::string path;
    std::string format;  ///< raw or qed
    std::uint64_t disk_bytes = 0;
    Header header;             ///< of QED images
    std::string backing_name;  ///< as it stands in the header
};

/// The files of the chain of the image `name`. Their locks are let go again.
Result<std::vector<ChainFile>> list_chain(const std::string& name, const DiskArgs& args);

/// The position of the file `name` in a chain, as header name, as path or as the same file.
/// \errors not_found
Result<std::size_t> find_in_chain(const std::vector<ChainFile>& chain, const std::string& name);

/// Puts an empty overlay in the place of the file at `path`, in one step: the same size and
/// geometry as `like`, over `backing_name`. \param locked  the old file, held by the caller
Result<void> replace_with_overlay(const std::string& path, std::unique_ptr<BlockFile> locked,
                                  const ChainFile& like, const std::string& backing_name,
                                  bool backing_is_raw);

}  // namespace qed::cli
