// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/nbd.hpp"

namespace qed::cli {
namespace {

constexpr std::uint64_t kMaxClones = 1'000'000;

struct CloneArgs {
    std::string base;
    std::vector<std::string> files;
    std::string format;
    std::string count;
    std::string first = "1";
    bool force = false;
};

/// `vm-%.qed` with number 7 is `vm-7.qed`; `%%%` is `007`.
std::string numbered(const std::string& pattern, std::uint64_t number) {
    const std::size_t begin = pattern.find('%');
    const std::size_t end = pattern.find_first_not_of('%', begin);
    const std::size_t width = (end == std::string::npos ? pattern.size() : end) - begin;
    return pattern.substr(0, begin) + fmt::format("{:0{}}", number, width) +
           pattern.substr(begin + width);
}

Result<std::vector<std::string>> clone_names(const CloneArgs& args) {
    if (args.count.empty()) return args.files;
    auto count = parse_number(args.count, "-n", 1, kMaxClones);
    if (!count) return pass(count);
    auto first = parse_number(args.first, "--first", 0, ~std::uint64_t{0} - kMaxClones);
    if (!first) return pass(first);
    if (args.files.size() != 1 || args.files[0].find('%') == std::string::npos) {
        return fail(Errc::invalid_argument,
                    "-n makes numbered clones: give one name with % for the number, as vm-%.qed");
    }
    std::vector<std::string> names;
    names.reserve(*count);
    for (std::uint64_t i = 0; i < *count; ++i)
        names.push_back(numbered(args.files[0], *first + i));
    return names;
}

Result<void> make_clones(const CloneArgs& args) {
    auto path = plain_path(args.base);
    if (!path) return pass(path);
    if (is_nbd_uri(*path)) {
        return fail(Errc::unsupported,
                    fmt::format("'{}': a backing file is a file, not an NBD export", *path));
    }
    auto names = clone_names(args);
    if (!names) return pass(names);
    DiskArgs open;
    open.format = args.format;
    open.open_backing = false;
    auto base = open_disk(*path, open);  // held until the end: nobody changes it meanwhile
    if (!base) return pass(base);
    if (base->probed && base->format == "raw") {
        return fail(
            Errc::invalid_argument,
            fmt::format("'{}' looks like no QED image; if it is a raw disk, say -f raw", *path));
    }
    CreateOptions create;
    create.image_bytes = base->image->size();
    create.exclusive = !args.force;
    create.backing_format = base->format == "raw" ? BackingFormat::raw : BackingFormat::qed;
    Interrupts::watch();
    for (std::size_t i = 0; i < names->size(); ++i) {
        const std::string backing = backing_name_from((*names)[i], *path);
        create.backing_name = backing.c_str();
        // What is replaced may be a base of the base: then the chain's locks are in the way.
        std::error_code unknown;
        create.check_backing = args.force && std::filesystem::exists((*names)[i], unknown);
        QED_CHECK(Image::create((*names)[i], create));
        if (Interrupts::requested()) {
            return fail(Errc::cancelled, fmt::format("stopped after {} clones", i + 1));
        }
    }
    return {};
}

int run_clone(const CloneArgs& args, Console& console) {
    if (auto done = make_clones(args); !done) return console.fail(done.error());
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
    command.add_option("-f", args->format, "Format of the base: qed or raw")->type_name("FMT");
    command.add_flag("--force", args->force, "Replace files that exist");
    on_run(command, console, args, run_clone);
}

}  // namespace qed::cli
