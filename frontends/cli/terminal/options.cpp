// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/options.hpp"

#include <cstdlib>

#include "cli/terminal/sizes.hpp"

namespace qed::cli {

Result<CacheMode> parse_cache_mode(std::string_view text, std::string_view option) {
    if (text == "writeback") return CacheMode{};
    if (text == "writethrough") return CacheMode{.sync = true};
    if (text == "none") return CacheMode{.direct = true};
    if (text == "directsync") return CacheMode{.direct = true, .sync = true};
    if (text == "unsafe") return CacheMode{.ignore_flush = true};
    return fail(Errc::invalid_argument,
                fmt::format("{}: '{}' is not a cache mode; use none, writeback, writethrough, "
                            "directsync or unsafe",
                            option, text));
}

std::string_view cache_mode_name(CacheMode mode) {
    if (mode.ignore_flush) return "unsafe";
    if (mode.direct) return mode.sync ? "directsync" : "none";
    return mode.sync ? "writethrough" : "writeback";
}

Result<KeyValues> parse_key_values(const std::vector<std::string>& lists) {
    KeyValues pairs;
    for (const std::string& list : lists) {
        std::string_view rest = list;
        while (!rest.empty()) {
            std::string item;
            while (!rest.empty()) {
                if (rest.starts_with(",,")) {
                    rest.remove_prefix(1);
                } else if (rest[0] == ',') {
                    break;
                }
                item += rest[0];
                rest.remove_prefix(1);
            }
            if (!rest.empty()) rest.remove_prefix(1);
            const std::size_t equals = item.find('=');
            if (equals == 0 || item.empty()) {
                return fail(Errc::invalid_argument,
                            fmt::format("-o: '{}' holds no name; write name=value,...", list));
            }
            if (equals == std::string::npos) {
                pairs.emplace_back(item, "on");
            } else {
                pairs.emplace_back(item.substr(0, equals), item.substr(equals + 1));
            }
        }
    }
    return pairs;
}

Result<bool> parse_switch(std::string_view text, std::string_view what) {
    if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
    if (text == "off" || text == "no" || text == "false" || text == "n") return false;
    return fail(Errc::invalid_argument, fmt::format("{}: '{}' is neither on nor off", what, text));
}

void add_output_option(CLI::App& app, OutputArgs& args) {
    app.add_option("--output", args.format, "human or json")
        ->check(CLI::IsMember({"human", "json"}))
        ->type_name("FORMAT");
}

void add_lock_options(CLI::App& app, LockArgs& args) {
    auto* shared =
        app.add_flag("-U,--force-share", args.shared, "Read even while another program writes");
    add_no_lock_option(app, args)->excludes(shared);
}

CLI::Option* add_no_lock_option(CLI::App& app, LockArgs& args) {
    return app.add_flag("--no-lock", args.none,
                        "Neither take nor test locks: if another program writes meanwhile, the "
                        "image can be destroyed");
}

void add_backing_options(CLI::App& app, BackingArgs& args) {
    app.add_option("--backing", args.rule, "Backing files: none, same-dir, dir:PATH, any")
        ->type_name("RULE");
    app.add_option("--backing-format", args.format,
                   "Format if a header states none: raw, qed, qcow2")
        ->check(CLI::IsMember({"raw", "qed", "qcow2"}))
        ->type_name("FMT");
    add_depth_option(app, args.depth);
}

void add_depth_option(CLI::App& app, std::string& depth) {
    app.add_option("--backing-depth", depth, "Most backing files of a chain; default 256")
        ->type_name("N");
}

Result<unsigned> backing_depth(const std::string& depth) {
    if (depth.empty()) return kDefaultBackingDepth;
    auto number = parse_number(depth, "--backing-depth", 0, kMaxBackingDepth);
    if (!number) return pass(number);
    return static_cast<unsigned>(*number);
}

Result<BackingPolicy> make_backing_policy(const BackingArgs& args, std::string& storage) {
    BackingPolicy policy;
    // A QED base is recognised by its header; every other format has to be stated.
    std::string rule = args.rule;
    std::string_view origin = "--backing";
    if (rule.empty()) {
        const char* const fallback = std::getenv("QED_BACKING");
        if (fallback != nullptr) {
            rule = fallback;
            origin = "QED_BACKING";
        }
    }
    if (rule.empty() || rule == "same-dir") {
        policy.rule = BackingRule::same_directory;
    } else if (rule == "none") {
        policy.rule = BackingRule::none;
    } else if (rule == "any") {
        policy.rule = BackingRule::any;
    } else if (rule.starts_with("dir:") && rule.size() > 4) {
        storage = rule.substr(4);
        policy.rule = BackingRule::below_directory;
        policy.directory = storage.c_str();
    } else {
        return fail(Errc::invalid_argument,
                    fmt::format("{}: '{}' is not a rule; use none, same-dir, dir:PATH or any",
                                origin, rule));
    }
    auto depth = backing_depth(args.depth);
    if (!depth) return pass(depth);
    policy.depth_limit = *depth;
    if (args.format == "raw") policy.format = BackingFormat::raw;
    if (args.format == "qed") policy.format = BackingFormat::qed;
    if (args.format == "qcow2") policy.format = BackingFormat::qcow2;
    return policy;
}

void refuse_option(CLI::App& app, const std::string& name, const std::string& why) {
    const std::string shown = name.substr(name.rfind(',') + 1);
    app.add_option_function<std::string>(
           name, [shown, why](const std::string&) { throw CLI::ValidationError(shown, why); })
        ->group("");
}

void refuse_flag(CLI::App& app, const std::string& name, const std::string& why) {
    const std::string shown = name.substr(name.rfind(',') + 1);
    app.add_flag_callback(name, [shown, why] { throw CLI::ValidationError(shown, why); })
        ->group("");
}

void refuse_objects(CLI::App& app) {
    refuse_option(app, "--object",
                  "QEMU objects (secrets, TLS credentials) are not supported; QED images have no "
                  "encryption");
}

void refuse_image_opts(CLI::App& app) {
    refuse_flag(app, "--image-opts",
                "QEMU's option strings are not supported; give the file's name and its format");
}

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      const std::string& example) {
    CLI::App* const command = app.add_subcommand(name, description);
    command->footer("Example:\n" + example);
    command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    return *command;
}

}  // namespace qed::cli
