// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "qed/block_file.hpp"
#include "qed/files.hpp"
#include "qed/header.hpp"
#include "qed/image.hpp"

// Shared by the operations on whole image files.

namespace qed {

/// One file of a chain.
struct LayerFile {
    std::string path;
    bool is_raw = false;
    std::string_view format;  ///< as Image::info() has it; empty: not asked
    std::uint64_t disk_bytes = 0;
    Header header;             ///< of QED images
    std::string backing_name;  ///< from the header, unchanged
};

/// The files of the chain of the image at `path`, from the top. Their locks are released again.
Result<std::vector<LayerFile>> list_chain(const std::string& path, const OpenOptions& options);

/// The position of the file `name` below the top of a chain: as a header's name, as a path, or as
/// another name of the same file. \errors not_found
Result<std::size_t> find_in_chain(const std::vector<LayerFile>& chain, const std::string& name);

/// \errors backing_refused  `base` was stated to be qcow2 and has another format
Result<void> check_base_format(const Image& base, BackingFormat stated);

/// A file that no other process can use or replace, and the content of its header.
struct HeldLayer {
    LayerFile file;
    std::unique_ptr<BlockFile> lock;
};
/// Locks the file that `path` leads to as a writer, unless `lock` is none.
/// \errors locked, not_qed, and those of opening
Result<HeldLayer> hold_layer(const std::string& path, bool is_raw, LockMode lock);

/// Replaces the held file by an empty overlay in one step: with the same size and geometry, over
/// `backing_name`.
/// \param cluster_bytes  another cluster size; 0: that of the held file
Result<void> replace_with_overlay(HeldLayer held, const std::string& backing_name,
                                  bool backing_is_raw, std::uint32_t cluster_bytes = 0);
/// The options of such an overlay. They point to `backing_name`.
CreateOptions overlay_options(const LayerFile& like, const std::string& backing_name,
                              bool backing_is_raw, std::uint32_t cluster_bytes = 0);

}  // namespace qed
