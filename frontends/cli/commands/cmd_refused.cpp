// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"

namespace qed::cli {
namespace {

void refuse_command(CLI::App& app, Console& console, const std::string& name,
                    const std::string& why) {
    CLI::App* const command = app.add_subcommand(name, why);
    command->group("");  // not in the help; its message explains it when it is used
    command->allow_extras();
    command->callback([&console, name, why] {
        console.exit_status = console.fail(fmt::format("{} is not supported: {}", name, why));
    });
}

}  // namespace

void refuse_amend(CLI::App& app, Console& console) {
    refuse_command(app, console, "amend",
                   "a QED image's geometry cannot be changed; convert it into a new image "
                   "with 'qed convert -O qed -o cluster_size=...'");
}

void refuse_bitmap(CLI::App& app, Console& console) {
    refuse_command(app, console, "bitmap",
                   "QED images hold no dirty bitmaps; use overlays ('qed create -b') to find what "
                   "has changed");
}

}  // namespace qed::cli
