// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/disks/overlay_size.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/clone.hpp"

namespace qed::cli {
namespace {

constexpr std::uint64_t kMaxClones = 1'000'000;

struct CloneArgs {
    std::string base;
    std::vector<std::string> files;
    std::string format;
    std::string count;
    std::string first = "1";
    std::string depth;
    std::string cluster;
    bool force = false;
    LockArgs lock;
};

/// `vm-%.qed` with number 7 is `vm-7.qed`; `%%%` is `007`.
std::string numbered(const std::string& pattern, std::uint64_t number) {
    const std::size_t begin = pattern.find('%');
    const std::size_t end = pattern.find_first_not_of('%', begin);
    const std::size_t width = (end == std::string::npos ? pattern.size() : end) - begin;
    return pattern.substr(0, begin) + fmt::format("{:0{}}", number, width) +
           pattern.substr(begin + width);
}

Result<std::vector<std::string>> plain_names(const std::vector<std::string>& given) {
    std::vector<std::string> names;
    for (const std::string& name : given) {
        auto path = plain_path(name);
        if (!path) return pass(path);
        names.push_back(std::move(*path));
    }
    return names;
}

Result<std::vector<std::string>> clone_names(const CloneArgs& args) {
    if (args.count.empty()) return plain_names(args.files);
    auto count = parse_number(args.count, "-n", 1, kMaxClones);
    if (!count) return pass(count);
    auto first = parse_number(args.first, "--first", 0, ~std::uint64_t{0} - kMaxClones);
    if (!first) return pass(first);
    if (args.files.size() != 1 || args.files[0].find('%') == std::string::npos) {
        return fail(Errc::invalid_argument,
                    "-n makes numbered clones: give one name with % for the number, as vm-%.qed");
    }
    auto pattern = plain_path(args.files[0]);
    if (!pattern) return pass(pattern);
    std::vector<std::string> names;
    names.reserve(*count);
    for (std::uint64_t i = 0; i < *count; ++i)
        names.push_back(numbered(*pattern, *first + i));
    return names;
}

bool go_on(void* /*context*/, std::uint64_t /*done*/, std::uint64_t /*total*/) {
    return !Interrupts::requested();
}

int run_clone(const CloneArgs& args, Console& console) {
    auto base = base_path(args.base, args.format);
    if (!base) return console.fail(base.error());
    auto names = clone_names(args);
    if (!names) return console.fail(names.error());
    auto depth = backing_depth(args.depth);
    if (!depth) return console.fail(depth.error());
    CloneOptions options;
    options.base_format = args.format.empty()
                              ? BackingFormat::qed
                              : known_base_format(args.format, "-f").value_or(BackingFormat::qed);
    options.replace = args.force;
    auto cluster = overlay_cluster_bytes(args.cluster);
    if (!cluster) return console.fail(cluster.error());
    options.cluster_bytes = *cluster;
    options.depth_limit = *depth;
    options.lock = args.lock.mode();
    options.progress.callback = go_on;
    Interrupts::watch();
    if (auto done = clone(*base, *names, options); !done) return console.fail(done.error());
    warn_about_backing(names->front(), console);
    return kExitOk;
}

}  // namespace

void add_clone(CLI::App& app, Console& console) {
    auto args = std::make_shared<CloneArgs>();
    CLI::App& command = add_command(app, "clone", "Make empty overlays of one base",
                                    "  qed clone golden.qed web.qed db.qed\n"
                                    "  qed clone -n 100 golden.qed vm-%%%.qed   (vm-001.qed ...)");
    command.add_option("base", args->base, "The image or raw disk they share")
        ->required()
        ->type_name("");
    command.add_option("files", args->files, "The clones")->required()->type_name("");
    command.add_option("-n", args->count, "So many, numbered where the name has %")->type_name("N");
    command.add_option("--first", args->first, "The first number; default 1")->type_name("N");
    command.add_option("-f", args->format, "Format of the base: qed, qcow2 or raw")
        ->type_name("FMT");
    add_no_lock_option(command, args->lock);
    add_depth_option(command, args->depth);
    add_cluster_size_option(command, args->cluster);
    command.add_flag("--force", args->force, "Replace files that exist");
    on_run(command, console, args, run_clone);
}

}  // namespace qed::cli
