// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/terminal/console.hpp"
#include "qed/image.hpp"

namespace qed::cli {

/// How a file is cached and flushed: the modes of QEMU's `-t` and `-T`.
struct CacheMode {
    bool direct = false;
    bool sync = false;
    bool ignore_flush = false;
};
/// none, writeback, writethrough, directsync or unsafe.
Result<CacheMode> parse_cache_mode(std::string_view text, std::string_view option);
std::string_view cache_mode_name(CacheMode mode);

/// The `name=value` pairs of one or more `-o` lists; `,,` is a comma inside a value.
/// \errors invalid_argument
using KeyValues = std::vector<std::pair<std::string, std::string>>;
Result<KeyValues> parse_key_values(const std::vector<std::string>& lists);
/// on, off, yes, no, true, false.
Result<bool> parse_switch(std::string_view text, std::string_view what);

/// How results are printed.
struct OutputArgs {
    std::string format = "human";
    bool json() const { return format == "json"; }
};
void add_output_option(CLI::App& app, OutputArgs& args);

/// How a command locks the image that it opens against other programs.
struct LockArgs {
    bool shared = false;  ///< -U
    bool none = false;    ///< --no-lock
    LockMode mode() const {
        if (none) return LockMode::none;
        return shared ? LockMode::force_shared : LockMode::normal;
    }
};
void add_lock_options(CLI::App& app, LockArgs& args);
/// --no-lock alone, for commands that need the image for themselves. Returns the option.
CLI::Option* add_no_lock_option(CLI::App& app, LockArgs& args);

/// The files that a header may make a command open.
struct BackingArgs {
    std::string rule;    ///< none, same-dir, dir:PATH, any; empty: $QED_BACKING or same-dir
    std::string format;  ///< raw, qed or empty
    std::string depth;   ///< a number; empty: the default
};
/// --backing-depth, for commands that put an image on top of a chain.
void add_depth_option(CLI::App& app, std::string& depth);
/// The number that it states. \errors invalid_argument
Result<unsigned> backing_depth(const std::string& depth);
void add_backing_options(CLI::App& app, BackingArgs& args);
/// \param storage  holds the directory's name; must outlive the policy
Result<BackingPolicy> make_backing_policy(const BackingArgs& args, std::string& storage);

/// Rejects an option of qemu-img that this command does not have, with the message `why`.
void refuse_option(CLI::App& app, const std::string& name, const std::string& why);
void refuse_flag(CLI::App& app, const std::string& name, const std::string& why);
/// Rejects --object, which no command has.
void refuse_objects(CLI::App& app);
void refuse_image_opts(CLI::App& app);

/// Adds a command whose `run(console)` returns the exit status.
template <class Args, class Run>
void on_run(CLI::App& app, Console& console, const Args& args, Run run) {
    app.callback([args, &console, run] { console.exit_status = run(*args, console); });
}

/// Adds a subcommand; its help ends with the example.
CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& example);

/// JSON text as qemu-img prints it.
template <class Json>
std::string dump_json(const Json& json) {
    return json.dump(4, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace qed::cli
