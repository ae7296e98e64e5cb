// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "formats/qcow2/qcow2_header.hpp"
#include "qed/error.hpp"

namespace qed {

/// Turns the data of a compressed cluster into the cluster. One thread at a time.
class Decompressor {
public:
    Decompressor() = default;
    Decompressor(const Decompressor&) = delete;
    Decompressor& operator=(const Decompressor&) = delete;
    virtual ~Decompressor() = default;

    /// Fills `cluster` from the start of `stored`. Bytes of `stored` that are not needed belong to
    /// a neighbour.
    /// \returns false: `stored` is damaged, or holds less than a cluster
    virtual bool decompress(std::span<const std::byte> stored,
                            std::span<std::byte> cluster) noexcept = 0;

    /// \errors out_of_memory; unsupported in a libqed without QED_WITH_DECOMPRESSION
    static Result<std::unique_ptr<Decompressor>> make(Qcow2Compression kind);
};

}  // namespace qed
