// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/mapping.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"

namespace qed {

/// What the engine asks about the disk that it changes. The layer that owns the engine answers.
/// Any thread.
class GuestDisk {
public:
    /// Bytes that the guest sees.
    virtual std::uint64_t size() const noexcept = 0;
    /// Counts a write of the guest, unless the disk refuses it.
    /// \errors read_only, out_of_range, write_stopped
    virtual Result<void> admit_write(GuestOffset at, std::uint64_t length) = 0;
    /// What this layer alone states about the first bytes of the range, read from the file if need
    /// be: never not_loaded.
    virtual Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) = 0;
    /// Why the byte at `at`, which the mapping calls corrupt, cannot be used.
    virtual Error explain(GuestOffset at) = 0;

    /// A base shows through unallocated clusters below this offset: 0 without a base, the largest
    /// number where the base was not opened.
    virtual std::uint64_t base_bytes() const noexcept = 0;
    /// A base shows through unallocated clusters, or will when the image is opened again.
    virtual bool may_show_base() const noexcept = 0;
    /// What the guest sees at `at` while nothing is allocated there.
    /// \errors backing_refused where the base was not opened; those of a read
    virtual Task<Result<void>> read_base(GuestOffset at, std::span<std::byte> buffer) = 0;

protected:
    ~GuestDisk() = default;
};

}  // namespace qed
