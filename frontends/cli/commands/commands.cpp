// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/commands.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <string_view>

#include "cli/terminal/help.hpp"
#include "qed/version.hpp"

namespace qed::cli {
namespace {

struct Command {
    std::string_view name;
    void (*add)(CLI::App& app, Console& console);
};

/// In the order of the help.
constexpr Command kCommands[] = {
    {"create", add_create},
    {"info", add_info},
    {"map", add_map},
    {"check", add_check},
    {"convert", add_convert},
    {"compare", add_compare},
    {"resize", add_resize},
    {"clone", add_clone},
    {"snapshot", add_snapshot},
    {"commit", add_commit},
    {"rebase", add_rebase},
    {"measure", add_measure},
    {"dd", add_dd},
    {"compact", add_compact},
    {"dump", add_dump},
    {"bench", add_bench},
    {"serve", add_serve},
    {"amend", refuse_amend},
    {"bitmap", refuse_bitmap},
};

const Command* find_command(std::string_view name) {
    const auto* const found = std::ranges::find(kCommands, name, &Command::name);
    return found != std::end(kCommands) ? found : nullptr;
}

/// qemu-img compare exits with 1 for "different", so its failures start at 2.
int usage_exit_status(const CLI::App& app) {
    const auto chosen = app.get_subcommands();
    return !chosen.empty() && chosen[0]->get_name() == "compare" ? 2 : kExitError;
}

int report_usage(const CLI::App& app, const CLI::ParseError& error, Console& console) {
    const auto chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "qed" : "qed " + chosen[0]->get_name();
    std::string message = error.what();
    if (const std::string prefix = error.get_name() + ": "; message.starts_with(prefix)) {
        message.erase(0, prefix.size());
    }
    console.fail(message);
    console.write_error(fmt::format("Try '{} --help' for more information.\n", command));
    return usage_exit_status(app);
}

}  // namespace

int run_program(int argc, const char* const* argv, Console& console) {
    CLI::App app("Copy-on-write disk images in the QED format", "qed");
    app.set_version_flag("-V,--version", fmt::format("qed {}", kVersion));
    app.footer("'qed COMMAND --help' shows a command's options and an example.");
    app.formatter(std::make_shared<HelpFormatter>());
    app.require_subcommand(1);
    refuse_option(app, "-T,--trace", "QEMU's trace events are not supported; see docs/tracing.md");
    const bool names_command = argc > 1 && argv[1][0] != '-' && argv[1][0] != '\0';
    if (names_command) {
        const Command* const command = find_command(argv[1]);
        if (command == nullptr) {
            console.fail(fmt::format("there is no command '{}'", argv[1]));
            console.write_error("Try 'qed --help' for more information.\n");
            return kExitError;
        }
        // Adds the options of the given command only; adding those of all takes longer than some
        // runs.
        command->add(app, console);
    } else {
        for (const Command& command : kCommands)
            command.add(app, console);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        const auto chosen = app.get_subcommands();
        console.write(chosen.empty() ? app.help() : chosen[0]->help("qed"));
        return console.finish(kExitOk);
    } catch (const CLI::CallForVersion& version) {
        console.print("{}\n", version.what());
        return console.finish(kExitOk);
    } catch (const CLI::ParseError& error) {
        return report_usage(app, error, console);
    } catch (const std::bad_alloc&) {
        return console.fail("out of memory");
    } catch (const std::exception& error) {
        return console.fail(error.what());
    }
    Interrupts::die();
    return console.finish(console.exit_status);
}

}  // namespace qed::cli
