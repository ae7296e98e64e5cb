// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <exception>
#include <memory>

#include "cli/help.hpp"
#include "qed/version.hpp"

namespace qed::cli {
namespace {

bool has_command(CLI::App& app, std::string_view name) {
    return !app.get_subcommands([name](CLI::App* one) { return one->get_name() == name; }).empty();
}

/// qemu-img's compare says 1 for "different", so its failures start at 2.
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

void add_commands(CLI::App& app, Console& console) {
    add_create(app, console);
    add_info(app, console);
    add_map(app, console);
    add_check(app, console);
    add_convert(app, console);
    add_compare(app, console);
    add_resize(app, console);
    add_clone(app, console);
    add_snapshot(app, console);
    add_commit(app, console);
    add_rebase(app, console);
    add_measure(app, console);
    add_dd(app, console);
    add_compact(app, console);
    add_dump(app, console);
    add_bench(app, console);
    add_serve(app, console);
    add_refused(app, console);
}

int run_program(int argc, const char* const* argv, Console& console) {
    CLI::App app("Copy-on-write disk images in the QED format", "qed");
    app.set_version_flag("-V,--version", fmt::format("qed {}", kVersion));
    app.footer("'qed COMMAND --help' shows a command's options and an example.");
    app.formatter(std::make_shared<HelpFormatter>());
    app.require_subcommand(1);
    refuse_option(app, "-T,--trace", "QEMU's trace events are not supported; see docs/tracing.md");
    add_commands(app, console);
    const bool names_command = argc > 1 && argv[1][0] != '-' && argv[1][0] != '\0';
    if (names_command && !has_command(app, argv[1])) {
        console.fail(fmt::format("there is no command '{}'", argv[1]));
        console.write_error("Try 'qed --help' for more information.\n");
        return kExitError;
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
