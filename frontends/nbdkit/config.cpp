// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <fcntl.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "api.hpp"

namespace qed::nbdkit {
namespace {

template <class T>
struct Choice {
    std::string_view name;
    T value;
};

constexpr std::array kOrders{
    Choice{"automatic", WriteOrder::automatic},
    Choice{"strict", WriteOrder::strict},
    Choice{"ordered", WriteOrder::ordered},
    Choice{"deferred", WriteOrder::deferred},
};
constexpr std::array kLocks{
    Choice{"normal", LockMode::normal},
    Choice{"force-shared", LockMode::force_shared},
    Choice{"none", LockMode::none},
};
constexpr std::array kBackingRules{
    Choice{"same-dir", BackingRule::same_directory},
    Choice{"none", BackingRule::none},
    Choice{"any", BackingRule::any},
};
constexpr std::string_view kBelow = "dir:";
constexpr std::array kSandboxModes{
    Choice{"off", sandbox::Mode::off},
    Choice{"auto", sandbox::Mode::automatic},
    Choice{"on", sandbox::Mode::on},
};
constexpr std::array kCompactModes{
    Choice{"off", false},
    Choice{"idle", true},
};
constexpr std::array kBackingFormats{
    Choice{"raw", BackingFormat::raw},
    Choice{"qed", BackingFormat::qed},
    Choice{"qcow2", BackingFormat::qcow2},
};

template <class Choices, class T>
int choose(const char* key, std::string_view value, const Choices& choices, T& target) {
    std::string known;
    for (const auto& choice : choices) {
        if (choice.name == value) {
            target = choice.value;
            return 0;
        }
        known += fmt::format("{}{}", known.empty() ? "" : ", ", choice.name);
    }
    nbdkit_error("%s=%.*s is not known; it is one of: %s", key, static_cast<int>(value.size()),
                 value.data(), known.c_str());
    return -1;
}

int parse_flag(const char* value, bool& target) {
    const int parsed = nbdkit_parse_bool(value);
    if (parsed < 0) return -1;
    target = parsed != 0;
    return 0;
}

int parse_path(const char* value, std::string& target) {
    const std::unique_ptr<char, decltype(&std::free)> path(nbdkit_absolute_path(value), std::free);
    if (!path) return -1;
    target = path.get();
    return 0;
}

int parse_bytes(const char* value, std::uint64_t& target) {
    const std::int64_t parsed = nbdkit_parse_size(value);
    if (parsed < 0) return -1;
    target = static_cast<std::uint64_t>(parsed);
    return 0;
}

int parse_milliseconds(const char* key, const char* value, std::chrono::milliseconds& target) {
    unsigned parsed = 0;
    if (nbdkit_parse_unsigned(key, value, &parsed) < 0) return -1;
    target = std::chrono::milliseconds(parsed);
    return 0;
}

int parse_depth(const char* key, const char* value, unsigned& depth) {
    unsigned parsed = 0;
    if (nbdkit_parse_unsigned(key, value, &parsed) < 0) return -1;
    if (parsed > kMaxBackingDepth) {
        nbdkit_error("%s=%u: expected at most %u", key, parsed, kMaxBackingDepth);
        return -1;
    }
    depth = parsed;
    return 0;
}

}  // namespace

const char* const kConfigHelp =
    "[file=]IMAGE               (required) QED image to serve\n"
    "readonly=true              Open the image read-only. The -r flag alone makes connections\n"
    "                           read-only, but the image is still opened and locked for writing.\n"
    "export=NAME                Serve this export name only; default: any name\n"
    "order=ORDER                When table entries reach the file: automatic (default), strict,\n"
    "                           ordered or deferred\n"
    "lock=MODE                  normal (default), force-shared (read while others write) or none\n"
    "backing-rule=RULE          Backing files that may be opened: same-dir (default), none,\n"
    "                           dir:PATH (below PATH) or any\n"
    "backing-format=FORMAT      raw or qed, for backing files whose format is not stated\n"
    "backing-depth=N            Most backing files of the chain; default 256\n"
    "cache-size=SIZE            Memory for L2 tables; default 12800K\n"
    "direct=true                O_DIRECT: bypass the page cache of this machine\n"
    "mapped=true                Map files opened read-only (backing files; with readonly=true the\n"
    "                           image); no program may truncate them\n"
    "settle-after=MILLISECONDS  Quiesce the image (clear its dirty bit) after this time without a\n"
    "                           write; default 2000, 0: only when the server stops\n"
    "compact=off|idle           When the image is idle, move data from the end of the file into\n"
    "                           free space and shorten the file; default off\n"
    "compact-rate=SIZE          Bytes a second to move then; default 32M\n"
    "release-after=MILLISECONDS Free the memory of tables that were not used for this time;\n"
    "                           default 60000, 0: never\n"
    "stats=true                 Print counters to standard error when the server stops\n"
    "sandbox=MODE               Once all files are open, give up all other rights of the process:\n"
    "                           off (default), auto (the parts the kernel has) or on (or fail).\n"
    "                           nbdkit's filters and logging to syslog may not work in it.\n"
    "sandbox-read=FILE          A file that may be opened in the sandbox: nbdkit's --tls-psk\n"
    "control-fd=NUMBER          For supervisors: a stream socket on which the plugin sends "
    "'ready'\n"
    "                           and, after a clean end, 'closed'; when the other end closes it,\n"
    "                           the plugin disconnects the clients\n"
    "grace-period=MILLISECONDS  Then let clients take their replies for this time; default 10000";

int Config::set(const char* key_text, const char* value) {
    const std::string_view key(key_text);
    if (key == "file") return parse_path(value, file);
    if (key == "readonly") return parse_flag(value, read_only);
    if (key == "export") {
        export_name = value;
        return 0;
    }
    if (key == "order") return choose(key_text, value, kOrders, options.order);
    if (key == "lock") return choose(key_text, value, kLocks, options.lock);
    if (key == "backing-rule") {
        if (std::string_view(value).starts_with(kBelow)) {
            return parse_path(value + kBelow.size(), backing_directory);
        }
        return choose(key_text, value, kBackingRules, options.backing.rule);
    }
    if (key == "backing-format") {
        return choose(key_text, value, kBackingFormats, options.backing.format);
    }
    if (key == "backing-depth") return parse_depth(key_text, value, options.backing.depth_limit);
    if (key == "cache-size") return parse_bytes(value, cache_bytes);
    if (key == "direct") return parse_flag(value, options.direct);
    if (key == "mapped") return parse_flag(value, options.mapped);
    if (key == "settle-after") return parse_milliseconds(key_text, value, settle_after);
    if (key == "compact") return choose(key_text, value, kCompactModes, compacts_when_idle);
    if (key == "compact-rate") return parse_bytes(value, compact_rate);
    if (key == "release-after") return parse_milliseconds(key_text, value, release_after);
    if (key == "stats") return parse_flag(value, stats);
    if (key == "sandbox") return choose(key_text, value, kSandboxModes, sandbox);
    if (key == "sandbox-read") return parse_path(value, sandbox_needs.reread.emplace_back());
    if (key == "grace-period") return parse_milliseconds(key_text, value, grace_period);
    if (key == "control-fd") return nbdkit_parse_int(key_text, value, &control_descriptor);
    nbdkit_error("unknown parameter '%s'; nbdkit --help lists the known ones", key_text);
    return -1;
}

int Config::complete() {
    if (file.empty()) {
        nbdkit_error("no image given: add file=IMAGE");
        return -1;
    }
    if (options.lock == LockMode::force_shared && !read_only) {
        nbdkit_error("lock=force-shared needs readonly=true");
        return -1;
    }
    if (compacts_when_idle && (read_only || settle_after.count() == 0 || compact_rate == 0)) {
        nbdkit_error("compact=idle needs a writable image, settle-after and compact-rate");
        return -1;
    }
    if (!backing_directory.empty()) {
        options.backing.rule = BackingRule::below_directory;
        options.backing.directory = backing_directory.c_str();
    }
    if (control_descriptor >= 0 && ::fcntl(control_descriptor, F_SETFD, FD_CLOEXEC) != 0) {
        nbdkit_error("control-fd=%d: %m", control_descriptor);
        return -1;
    }
    options.writable = !read_only;
    sandbox_needs.accepts_clients = true;
    return 0;
}

}  // namespace qed::nbdkit
