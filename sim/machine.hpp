// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "qed/check.hpp"
#include "qed/image.hpp"
#include "sim/sim_file.hpp"
#include "sim/storage.hpp"
#include "sim/world.hpp"

namespace qed::sim {

/// The names that the image may store for its base. Both lead to the same file.
inline constexpr const char* kBaseName = "base.raw";
inline constexpr const char* kOtherBaseName = "elsewhere/a-longer-name-of-the-base.raw";

/// The properties of an image under test, and the options for opening it.
struct ImageSetup {
    std::uint32_t cluster_bytes = 4096;
    std::uint32_t table_clusters = 1;
    std::uint64_t image_bytes = 0;
    WriteOrder order = WriteOrder::strict;
    bool has_base = false;
    FileContent base;  ///< what the base shows; empty without
    /// A QED image between, which shows `base`, over the raw file `below`; empty: `base` is raw.
    FileContent qed_base{};
    FileContent below{};
    std::uint32_t slice_bytes = 512;
    std::uint64_t cache_limit = 0;
    std::uint32_t readahead_slices = 8;
    std::uint64_t deferred_limit = 4096;

    bool has_chain() const { return qed_base.size() != 0; }
    BackingFormat base_format() const {
        return has_chain() ? BackingFormat::qed : BackingFormat::raw;
    }
    std::uint64_t table_entries() const {
        return std::uint64_t{cluster_bytes} * table_clusters / sizeof(std::uint64_t);
    }
    std::uint64_t table_span() const { return table_entries() * cluster_bytes; }
};

/// A computer with one image on its disk. A process on it may have the image open.
class Machine {
public:
    /// The disk has the content of `disk`. With `is_inline`, I/O takes no time.
    Machine(World& world, const ImageSetup& setup, FileContent disk, bool is_inline);
    ~Machine();

    /// Makes an empty image.
    Result<void> format();
    Result<void> open(bool is_writable = true);
    /// Quiesces the image on the world's executor, then closes it.
    Result<void> close();
    /// Kills the process. No request may be in flight.
    void kill() noexcept { image_.reset(); }
    Result<CheckReport> check(Repair repair);
    /// Evicts every table that no request holds.
    void trim_cache() {
        budget_->trim();
        base_budget_->trim();
    }

    /// Cuts the power when the `io`-th I/O after this call starts.
    void cut_power_at(std::uint64_t io) noexcept { power_.cut_at = power_.started + io; }
    void keep_power() noexcept { power_.cut_at = 0; }
    /// Cuts the power now, unless it is cut already.
    void cut_power();
    /// Restores the power; the disk is then in one of the states that the cut may have left. No
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
    std::unique_ptr<SimFile> make_base_file(const std::shared_ptr<Storage>& storage,
                                            std::string name);
    Result<std::shared_ptr<Image>> open_base();

    World& world_;
    ImageSetup setup_;
    bool is_inline_;
    FaultPlan faults_;
    std::shared_ptr<Storage> storage_;
    std::shared_ptr<Storage> raw_base_;
    std::shared_ptr<Storage> qed_base_;
    Power power_;
    std::shared_ptr<CacheBudget> budget_;
    std::shared_ptr<CacheBudget> base_budget_;
    std::unique_ptr<Image> image_;
};

}  // namespace qed::sim
