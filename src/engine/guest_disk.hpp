// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/mapping.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"

namespace qed {

/// The disk that the engine changes, as far as the engine has to know it. The layer that owns the
/// engine implements it. Any thread.
class GuestDisk {
public:
    /// The size of the disk in bytes.
    virtual std::uint64_t size() const noexcept = 0;
    /// Counts a write of the guest, unless the disk refuses it.
    /// \errors read_only, out_of_range, write_stopped
    virtual Result<void> admit_write(GuestOffset at, std::uint64_t length) = 0;
    /// The mapping of the first bytes of the range in this layer alone. Reads the file if memory
    /// does not know it: never not_loaded.
    virtual Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) = 0;
    /// The reason why the byte at `at`, whose mapping is corrupt, cannot be used.
    virtual Error explain(GuestOffset at) = 0;

    /// Unallocated clusters below this offset show the base: 0 without a base, the largest number
    /// if the base was not opened.
    virtual std::uint64_t base_bytes() const noexcept = 0;
    /// Whether unallocated clusters show a base, now or when the image is opened again.
    virtual bool may_show_base() const noexcept = 0;
    /// Reads the bytes that the guest sees at `at` while no cluster is allocated there.
    /// \errors backing_refused if the base was not opened; those of a read
    virtual Task<Result<void>> read_base(GuestOffset at, std::span<std::byte> buffer) = 0;

protected:
    ~GuestDisk() = default;
};

}  // namespace qed
