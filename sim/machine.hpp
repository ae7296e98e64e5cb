// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "qed/check.hpp"
#include "qed/image.hpp"
#include "sim/sim_file.hpp"
#include "sim/storage.hpp"
#include "sim/world.hpp"

namespace qed::sim {

/// What the image may call its base: the same file by either name.
inline constexpr const char* kBaseName = "base.raw";
inline constexpr const char* kOtherBaseName = "elsewhere/a-longer-name-of-the-base.raw";

/// Everything that makes one image under test, and how the engine is told to run it.
struct ImageSetup {
    std::uint32_t cluster_bytes = 4096;
    std::uint32_t table_clusters = 1;
    std::uint64_t image_bytes = 0;
    WriteOrder order = WriteOrder::strict;
    bool has_base = false;
    FileContent base;  ///< raw; empty without
    std::uint32_t slice_bytes = 512;
    std::uint64_t cache_limit = 0;
    std::uint32_t readahead_slices = 8;
    std::uint64_t deferred_limit = 4096;

    std::uint64_t table_entries() const {
        return std::uint64_t{cluster_bytes} * table_clusters / sizeof(std::uint64_t);
    }
    std::uint64_t table_span() const { return table_entries() * cluster_bytes; }
};

/// A computer with one image on its disk, and perhaps the image open in a process.
class Machine {
public:
    /// The disk holds what `disk` holds. `is_inline`: I/O takes no time.
    Machine(World& world, const ImageSetup& setup, FileContent disk, bool is_inline);
    ~Machine();

    /// Makes an empty image.
    Result<void> format();
    Result<void> open(bool is_writable = true);
    /// Settles on the world, then closes.
    Result<void> close();
    /// The process dies. No request may be in flight.
    void kill() noexcept { image_.reset(); }
    Result<CheckReport> check(Repair repair);
    /// Evicts every table that no request holds.
    void trim_cache() { budget_->trim(); }

    /// The power goes when the `io`th I/O from now on starts.
    void cut_power_at(std::uint64_t io) noexcept { power_.cut_at = power_.started + io; }
    void keep_power() noexcept { power_.cut_at = 0; }
    /// The power goes now, if it has not gone yet.
    void cut_power();
    /// The power comes back, and the disk is in one of the states that the cut may have left. No
    /// request may be in flight. Returns the moment of the cut.
    std::uint64_t restore_power(Random& random);

    World& world() noexcept { return world_; }
    const ImageSetup& setup() const noexcept { return setup_; }
    Storage& storage() noexcept { return *storage_; }
    FaultPlan& faults() noexcept { return faults_; }
    Image* image() noexcept { return image_.get(); }
    bool has_power() const noexcept { return power_.is_on; }

private:
    std::unique_ptr<SimFile> make_file();

    World& world_;
    ImageSetup setup_;
    bool is_inline_;
    FaultPlan faults_;
    std::shared_ptr<Storage> storage_;
    std::shared_ptr<Storage> base_;
    Power power_;
    std::shared_ptr<CacheBudget> budget_;
    std::unique_ptr<Image> image_;
};

}  // namespace qed::sim
