// SPDX-License-Identifier: Apache-2.0
#include "sim/machine.hpp"

#include <utility>

#include "sim/crash_states.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kBudgetBytes = 64 * 1024;  // the minimum

bool names_backing(const FileContent& image) {
    constexpr std::uint64_t kFeatures = 16;
    constexpr std::uint64_t kBackingFile = 1;
    return (image.load64(kFeatures) & kBackingFile) != 0;
}

}  // namespace

Machine::Machine(World& world, const ImageSetup& setup, FileContent disk, bool is_inline)
    : world_(world),
      setup_(setup),
      is_inline_(is_inline),
      storage_(std::make_shared<Storage>(std::move(disk), world.moment())),
      raw_base_(std::make_shared<Storage>(setup.has_chain() ? setup.below : setup.base)),
      qed_base_(std::make_shared<Storage>(setup.qed_base)),
      power_{.disk = storage_.get(), .cut = {}},
      budget_(CacheBudget::create(kBudgetBytes)),
      base_budget_(CacheBudget::create(kBudgetBytes)) {}

Machine::~Machine() = default;

std::unique_ptr<SimFile> Machine::make_file() {
    return std::make_unique<SimFile>(
        world_, storage_,
        SimFileOptions{.is_inline = is_inline_, .faults = &faults_, .power = &power_});
}

Result<void> Machine::format() {
    const CreateOptions options{
        .image_bytes = setup_.image_bytes,
        .cluster_bytes = setup_.cluster_bytes,
        .table_clusters = setup_.table_clusters,
        .backing_name = setup_.has_base ? kBaseName : nullptr,
        .backing_format = setup_.has_base ? setup_.base_format() : BackingFormat::unstated,
        .check_backing = false};
    const auto file = make_file();
    return world_.run(Image::format(*file, options));
}

std::unique_ptr<SimFile> Machine::make_base_file(const std::shared_ptr<Storage>& storage,
                                                 std::string name) {
    return std::make_unique<SimFile>(world_, storage,
                                     SimFileOptions{.name = std::move(name),
                                                    .is_read_only = true,
                                                    .is_inline = is_inline_,
                                                    .faults = &faults_,
                                                    .power = &power_});
}

Result<std::shared_ptr<Image>> Machine::open_base() {
    Result<std::unique_ptr<Image>> raw = Image::open_raw(make_base_file(raw_base_, "base.raw"));
    if (!raw) return pass(raw);
    std::shared_ptr<Image> base = std::move(*raw);
    if (!setup_.has_chain()) return base;
    OpenOptions options{.budget = base_budget_.get(), .slice_bytes = setup_.slice_bytes};
    options.lock = LockMode::none;
    auto image = world_.run(
        Image::open_file(make_base_file(qed_base_, "base.qed"), std::move(base), options));
    if (!image) return pass(image);
    return std::shared_ptr<Image>(std::move(*image));
}

Result<void> Machine::open(bool is_writable) {
    std::shared_ptr<Image> backing;
    if (names_backing(storage_->current())) {
        auto base = open_base();
        if (!base) return pass(base);
        backing = std::move(*base);
    }
    OpenOptions options{.writable = is_writable,
                        .order = setup_.order,
                        .budget = budget_.get(),
                        .cache_limit = setup_.cache_limit,
                        .slice_bytes = setup_.slice_bytes,
                        .readahead_slices = setup_.readahead_slices,
                        .deferred_limit = setup_.deferred_limit,
                        .scan_threads = 1};
    options.lock = LockMode::none;
    auto image = world_.run(Image::open_file(make_file(), std::move(backing), options));
    if (!image) return pass(image);
    image_ = std::move(*image);
    const std::string name = image_->backing_name();
    if (!name.empty() && name != kBaseName && name != kOtherBaseName) {
        throw Failure("the backing file keeps its old or gets its new name", std::string(name));
    }
    return {};
}

Result<void> Machine::close() {
    Result<void> done = world_.run(image_->quiesce());
    Result<void> closed = image_->close();
    image_.reset();
    return done ? std::move(closed) : std::move(done);
}

Result<CheckReport> Machine::check(Repair repair) {
    const auto file = make_file();
    CheckOptions options;
    options.repair = repair;
    return world_.run(check_file(*file, options));
}

void Machine::cut_power() {
    if (power_.is_on) power_.go_off(world_.tick());
}

std::uint64_t Machine::restore_power(Random& random) {
    image_.reset();
    const CrashPoint point = std::move(*power_.cut);
    CrashState state = CrashStates(point, random.next()).sample(random);
    storage_ = std::make_shared<Storage>(std::move(state.content), world_.tick());
    power_ = {.disk = storage_.get(), .cut = {}};
    return point.moment;
}

}  // namespace qed::sim
