// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands/commands.hpp"
#include "cli/serve/listener.hpp"
#include "cli/serve/nbdkit_program.hpp"
#include "cli/serve/nbdkit_run.hpp"
#include "cli/serve/sandbox_option.hpp"
#include "qed/image.hpp"

namespace qed::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPluginFile = "nbdkit-qed-plugin.so";
// docs/adr/0011-threads-of-a-connection.md has the measurements.
constexpr unsigned kThreads = 4;
constexpr unsigned kDirectThreads = 16;

struct ServeArgs {
    std::string image;
    std::string socket;
    std::optional<std::uint16_t> port;
    std::string bind = "localhost";
    std::string tls;
    bool verify_peer = false;
    bool insecure = false;
    bool read_only = false;
    LockArgs lock;
    std::string export_name;
    std::optional<unsigned> threads;
    std::optional<unsigned> grace_period;
    bool stats = false;
    bool exit_with_parent = false;
    bool direct = false;
    bool mapped = false;
    std::string order;
    std::string cache_size;
    BackingArgs backing;
    std::optional<unsigned> settle_after;
    std::string compact;
    std::string compact_rate;
    std::optional<unsigned> release_after;
    SandboxArgs sandbox;
};

/// Finds the plugin that was built or installed together with this program.
Result<std::string> find_plugin() {
    std::error_code ignored;
    const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
    const fs::path candidates[] = {here / kPluginFile, here / "../lib" / kPluginFile,
                                   here / "../lib/nbdkit/plugins" / kPluginFile,
                                   fs::path(QED_PLUGIN_DIR) / kPluginFile};
    std::string searched;
    for (const fs::path& candidate : candidates) {
        const fs::path path = candidate.lexically_normal();
        if (fs::exists(path, ignored)) return path.string();
        searched += fmt::format("{}{}", searched.empty() ? "" : ", ", path.parent_path().string());
    }
    return fail(Errc::not_found, fmt::format("{} is in none of: {}", kPluginFile, searched));
}

Result<Listener> make_listener(const ServeArgs& args) {
    auto inherited = Listener::inherited();
    if (!inherited) return pass(inherited);
    if (*inherited) {
        if (!args.socket.empty() || args.port) {
            return fail(Errc::invalid_argument,
                        "the sockets come from the superserver (LISTEN_FDS is set), so --socket "
                        "and --port cannot be used");
        }
        return std::move(**inherited);
    }
    if (args.port) return Listener::on_tcp(args.bind, *args.port);
    if (!args.socket.empty()) return Listener::at_path(args.socket);
    return Listener::in_private_directory();
}

Result<void> check_encryption(const ServeArgs& args, const Listener& listener) {
    if (!listener.is_tcp() || !args.tls.empty() || args.insecure) return {};
    return fail(
        Errc::invalid_argument,
        "over TCP every program that reaches the port can read and change the disk: add --tls "
        "PATH (certificates or keys), or --insecure to allow it");
}

/// Opens the image and closes it again, to report its faults before anything else happens. Changes
/// nothing and takes no lock; nbdkit takes the lock.
Result<void> check_image(const std::string& path, const BackingPolicy& backing) {
    OpenOptions options;
    options.lock = LockMode::none;
    options.backing = backing;
    if (auto image = Image::open(path, options); !image) return pass(image);
    return {};
}

std::string rule_text(const BackingPolicy& policy) {
    switch (policy.rule) {
        case BackingRule::none:
            return "none";
        case BackingRule::any:
            return "any";
        case BackingRule::below_directory:
            return fmt::format("dir:{}", policy.directory);
        case BackingRule::same_directory:
            break;
    }
    return "same-dir";
}

unsigned usual_threads(const ServeArgs& args, const NbdkitProgram& nbdkit) {
    if (!nbdkit.has_safe_threads()) return 1;
    return args.direct ? kDirectThreads : kThreads;
}

void warn_of_threads(const ServeArgs& args, const NbdkitProgram& nbdkit, Console& console) {
    if (args.threads.value_or(1) == 1 || nbdkit.has_safe_threads()) return;
    console.warn(
        fmt::format("nbdkit {} can end when a client leaves without taking its replies, "
                    "unless it has 1 thread for each client; nbdkit 1.34 cannot",
                    nbdkit.version.empty() ? "of unknown version" : nbdkit.version));
}

void add_server_arguments(const ServeArgs& args, unsigned threads, std::vector<std::string>& to) {
    to.insert(to.end(), {"--foreground", "--log=stderr"});
    if (args.read_only) to.emplace_back("--readonly");
    to.push_back(fmt::format("--threads={}", threads));
    if (args.tls.empty()) {
        to.emplace_back("--tls=off");
        return;
    }
    to.emplace_back("--tls=require");
    const bool certificates = fs::is_directory(args.tls);
    to.push_back(fmt::format("--tls-{}={}", certificates ? "certificates" : "psk", args.tls));
    if (args.verify_peer) to.emplace_back("--tls-verify-peer");
}

void add_plugin_arguments(const ServeArgs& args, const BackingPolicy& backing,
                          std::vector<std::string>& to) {
    const auto add = [&to](std::string_view key, std::string_view value) {
        if (!value.empty()) to.push_back(fmt::format("{}={}", key, value));
    };
    add("file", args.image);
    add("export", args.export_name);
    add("order", args.order);
    add("cache-size", args.cache_size);
    add("backing-rule", rule_text(backing));
    add("backing-format", args.backing.format);
    add("backing-depth", args.backing.depth);
    if (args.settle_after) add("settle-after", std::to_string(*args.settle_after));
    add("compact", args.compact);
    add("compact-rate", args.compact_rate);
    if (args.release_after) add("release-after", std::to_string(*args.release_after));
    if (args.grace_period) add("grace-period", std::to_string(*args.grace_period));
    if (args.read_only) add("readonly", "true");
    if (args.lock.shared) add("lock", "force-shared");
    if (args.lock.none) add("lock", "none");
    if (args.direct) add("direct", "true");
    if (args.mapped) add("mapped", "true");
    if (args.stats) add("stats", "true");
    add("sandbox", args.sandbox.mode);
    // GnuTLS reads the file of keys again for each client.
    if (!args.tls.empty() && !fs::is_directory(args.tls)) add("sandbox-read", args.tls);
}

Result<void> serve(const ServeArgs& args, Console& console) {
    if (args.exit_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    // This comes first, so that a signal cannot leave behind the socket's file.
    const StopSignals signals;
    auto program = find_nbdkit();
    if (!program) return pass(program);
    warn_of_threads(args, *program, console);
    auto plugin = find_plugin();
    if (!plugin) return pass(plugin);
    std::string directory;
    const auto backing = make_backing_policy(args.backing, directory);
    if (!backing) return std::unexpected(backing.error().clone());
    if (auto sound = check_image(args.image, *backing); !sound) return sound;
    auto listener = make_listener(args);
    if (!listener) return pass(listener);
    if (auto safe = check_encryption(args, *listener); !safe) return safe;

    listener->clean_when_killed();
    const unsigned threads = args.threads.value_or(usual_threads(args, *program));
    NbdkitRun run{std::move(program->path), {}, listener->sockets()};
    add_server_arguments(args, threads, run.arguments);
    run.arguments.push_back(std::move(*plugin));
    add_plugin_arguments(args, *backing, run.arguments);
    return run_nbdkit(run, signals, [&] {
        console.print("{}\n", listener->uri(!args.tls.empty(), args.export_name));
        console.flush();
    });
}

void add_listen_options(CLI::App& sub, ServeArgs& args) {
    auto* socket =
        sub.add_option("--socket", args.socket, "Create this Unix socket, for the owner only");
    auto* port =
        sub.add_option("--port", args.port, "TCP port (0: a free one); needs --tls or --insecure");
    port->excludes(socket);
    sub.add_option("--bind", args.bind, "Address or name to listen on with --port")
        ->capture_default_str();
    auto* tls = sub.add_option("--tls", args.tls,
                               "Require TLS: a directory of certificates (*.pem), or a "
                               "file of pre-shared keys")
                    ->check(CLI::ExistingPath);
    sub.add_flag("--tls-verify-peer", args.verify_peer, "Accept only clients with a certificate")
        ->needs(tls);
    sub.add_flag("--insecure", args.insecure, "Allow TCP without TLS")->excludes(tls);
    sub.add_option("--export-name", args.export_name,
                   "Name of the export; other names are rejected");
    sub.add_option("--threads", args.threads,
                   "Requests per client (default 4; 1 below nbdkit 1.34)")
        ->check(CLI::Range(1U, 1024U));
    sub.add_option("--grace-period", args.grace_period,
                   "Time for replies after a stop signal; default 10000")
        ->type_name("MS");
    sub.add_flag("--exit-with-parent", args.exit_with_parent,
                 "Stop when the process that started this one ends");
}

void add_image_options(CLI::App& sub, ServeArgs& args) {
    auto* read_only = sub.add_flag("-r,--read-only", args.read_only, "Never change the image");
    add_lock_options(sub, args.lock);
    sub.get_option("--force-share")->needs(read_only);
    sub.add_option("--order", args.order, "When table entries reach the file")
        ->check(CLI::IsMember({"automatic", "strict", "ordered", "deferred"}));
    sub.add_option("--cache-size", args.cache_size, "Memory for tables, such as 64M");
    sub.add_flag("--direct", args.direct, "O_DIRECT: bypass this machine's page cache");
    sub.add_flag("--mapped", args.mapped, "Map read-only files; no program may truncate them");
    add_backing_options(sub, args.backing);
    sub.add_option("--settle-after", args.settle_after,
                   "Quiesce the image after this idle time; 0: at the end");
    sub.add_option("--compact", args.compact, "Shrink the file: idle (when no client writes)")
        ->check(CLI::IsMember({"off", "idle"}))
        ->excludes(read_only);
    sub.add_option("--compact-rate", args.compact_rate, "Bytes a second then; default 32M");
    sub.add_option("--release-after", args.release_after,
                   "Free idle tables after this time; 0: never");
    add_sandbox_option(sub, args.sandbox);
    sub.add_flag("--stats", args.stats, "Print counters to standard error when the server stops");
}

}  // namespace

void add_serve(CLI::App& app, Console& console) {
    const auto args = std::make_shared<ServeArgs>();
    CLI::App& sub = add_command(
        app, "serve",
        "Serve an image over NBD, with nbdkit. Prints the URI of the export when clients can "
        "connect. "
        "TERM, INT or HUP stop it: it flushes and quiesces the image and exits with status 0.",
        "  qed serve --socket /run/disk.sock disk.qed &\n"
        "  nbdinfo 'nbd+unix:///?socket=/run/disk.sock'");
    sub.add_option("image", args->image, "QED image")->required()->type_name("FILE");
    add_listen_options(sub, *args);
    add_image_options(sub, *args);
    on_run(sub, console, args, [](const ServeArgs& given, Console& to) {
        const auto served = serve(given, to);
        return served ? kExitOk : to.fail(served.error());
    });
}

}  // namespace qed::cli
