// SPDX-License-Identifier: Apache-2.0
// nbdkit-qed-plugin: serves one QED image over NBD. All connections share one Image, and each
// callback runs its request completely on nbdkit's thread.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "api.hpp"
#include "cache_release.hpp"
#include "client_limit.hpp"
#include "config.hpp"
#include "control.hpp"
#include "maintenance.hpp"
#include "qed/cache_budget.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"
#include "qed/version.hpp"
#include "sandbox/descriptor_limit.hpp"
#include "sandbox/sandbox.hpp"
#include "stats_report.hpp"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace qed::nbdkit {
namespace {

/// nbdkit rejects larger payloads (MAX_REQUEST_SIZE) and larger preferred sizes.
constexpr std::uint32_t kMaxPayloadBytes = 64U << 20;
constexpr std::uint64_t kLeastPreferredBytes = 4096;
constexpr std::uint64_t kMaxPreferredBytes = 32U << 20;
/// The most extents in one reply. The client sends another request at its end, so that no other
/// request waits long for a reply about 4 GiB of scattered clusters.
constexpr unsigned kMaxExtentsInReply = 16384;

/// nbdkit's main thread writes it before and after serving; the connections' threads only read it.
struct Server {
    Config config;
    std::unique_ptr<Image> image;
    std::optional<Maintenance> maintenance;
    std::optional<CacheRelease> cache_release;
    std::optional<Control> control;
    ClientLimit client_limit;
    std::string description;
};
/// Never destroyed: nbdkit calls exit() in the foreground and in the background process, when
/// static objects that an Image needs may be destroyed already.
Server& server = *new Server;

/// The handle that .open returns: there are two kinds of connections.
struct Connection {
    bool read_only;
};
Connection read_only_connection{true};
Connection writing_connection{false};

bool is_writing(void* handle) {
    return !static_cast<Connection*>(handle)->read_only && server.image->is_writable();
}

/// The errno that nbdkit converts into the right NBD error. NBD has few, and for all others nbdkit
/// sends EINVAL, which blames the client.
int nbd_errno(const Error& error) {
    switch (error.code()) {
        case Errc::no_space:
            return ENOSPC;
        case Errc::out_of_memory:
            return ENOMEM;
        case Errc::read_only:
            return EROFS;
        case Errc::permission_denied:
            return EPERM;
        case Errc::out_of_range:
        case Errc::invalid_argument:
            return EINVAL;
        case Errc::unsupported:
            return ENOTSUP;
        default:
            return EIO;
    }
}

int answer(const Result<void>& result) {
    if (result) return 0;
    const int code = nbd_errno(result.error());
    nbdkit_set_error(code);
    // "Not supported" is a regular answer to a client, and no fault to log.
    if (code == ENOTSUP) {
        nbdkit_debug("%s", result.error().message().c_str());
    } else {
        nbdkit_error("%s", result.error().message().c_str());
    }
    return -1;
}

int answer_change(const Result<void>& result) {
    if (server.maintenance) server.maintenance->note_change();
    return answer(result);
}

WriteFlags fua_flag(std::uint32_t flags) {
    return (flags & NBDKIT_FLAG_FUA) != 0 ? WriteFlags::fua : WriteFlags::none;
}

// Start and end, on nbdkit's main thread.

void on_load() {
    // nbdkit writes messages, and puts /dev/null on 0, 1 and 2 when it goes to the background. If
    // this call fails, the library still opens no file with these numbers.
    [[maybe_unused]] const bool filled = fill_standard_descriptors();
    sandbox::raise_descriptor_limit();
}

int on_config(const char* key, const char* value) {
    return server.config.set(key, value);
}

int on_config_complete() {
    return server.config.complete();
}

int on_get_ready() {
    // A write past the limit on file sizes must fail for one client instead of ending the server.
    std::signal(SIGXFSZ, SIG_IGN);
    Config& config = server.config;
    if (config.cache_bytes != 0) CacheBudget::process()->set_limit(config.cache_bytes);
    auto image = Image::open(config.file, config.options);
    if (!image) {
        nbdkit_error("%s", image.error().message().c_str());
        const Errc code = image.error().code();
        if (!config.read_only && (code == Errc::locked || code == Errc::permission_denied)) {
            // Only `qed serve` has a control socket.
            nbdkit_error("to serve the image without writing to it, add %s",
                         config.control_descriptor >= 0 ? "--read-only" : "readonly=true");
        }
        return -1;
    }
    server.image = std::move(*image);
    // Clients on the network see this, so it has the name of the file but not its folder.
    const std::string_view path = config.file;
    server.description = "QED image ";
    server.description += path.substr(path.rfind('/') + 1);
    return 0;
}

/// Afterwards no file can be opened; the image, its backing files and the sockets are open.
int close_sandbox() {
    const auto missing = sandbox::enter(server.config.sandbox, server.config.sandbox_needs);
    if (!missing) {
        nbdkit_error("%s", missing.error().message().c_str());
        return -1;
    }
    if (!missing->empty()) print_warning(*missing);
    return 0;
}

int on_after_fork() {
    const Config& config = server.config;
    const Maintenance::Options maintenance{
        .idle = config.settle_after,
        .compact_rate = config.compacts_when_idle ? config.compact_rate : 0};
    const int control = server.config.control_descriptor;
    if (control >= 0) server.control.emplace(control, server.config.grace_period);
    // Before any thread starts: Landlock restricts one thread and the threads that it starts.
    if (close_sandbox() != 0) return -1;
    try {
        if (server.image->is_writable() && maintenance.idle.count() != 0) {
            server.maintenance.emplace(*server.image, maintenance);
        }
        if (server.config.release_after.count() != 0) {
            server.cache_release.emplace(*CacheBudget::process(), server.config.release_after);
        }
        if (server.control) server.control->start();
    } catch (const std::system_error& error) {
        nbdkit_error("starting a thread: %s", error.what());
        return -1;
    }
    if (server.control) server.control->report("ready\n");
    return 0;
}

void on_cleanup() {
    server.maintenance.reset();
    server.cache_release.reset();
    if (!server.image) return;
    if (server.config.stats) {
        // So that deferred writes are counted; close() reports an error.
        [[maybe_unused]] const Result<void> settled = server.image->quiesce_blocking();
        print_stats(server.image->stats(), CacheBudget::process()->stats());
    }
    if (const Result<void> closed = server.image->close(); !closed) {
        nbdkit_error("closing the image: %s", closed.error().message().c_str());
        return;
    }
    if (server.control) server.control->report("closed\n");
}

void on_unload() {
    server.control.reset();
    server.maintenance.reset();
    server.cache_release.reset();
    server.image.reset();
}

void on_dump_plugin() {
    print_plugin_facts();
}

// Connections.

int on_preconnect(int) {
    return server.client_limit.admits() ? 0 : -1;
}

int on_list_exports(int, int, nbdkit_exports* exports) {
    return nbdkit_add_export(exports, server.config.export_name.c_str(),
                             server.description.c_str());
}

const char* on_default_export(int, int) {
    return server.config.export_name.c_str();
}

void* on_open(int read_only) {
    const std::string& served = server.config.export_name;
    const char* wanted = nbdkit_export_name();
    if (wanted == nullptr) return nullptr;
    if (!served.empty() && served != wanted) {
        nbdkit_error("a client asked for export '%s'; this server has '%s'", wanted,
                     served.c_str());
        return nullptr;
    }
    return read_only != 0 ? &read_only_connection : &writing_connection;
}

const char* on_export_description(void*) {
    return server.description.c_str();
}

std::int64_t on_get_size(void*) {
    return static_cast<std::int64_t>(server.image->size());
}

int on_block_size(void*, std::uint32_t* minimum, std::uint32_t* preferred, std::uint32_t* maximum) {
    const std::uint64_t cluster_bytes =
        std::max<std::uint64_t>(server.image->info().cluster_bytes, kLeastPreferredBytes);
    *minimum = 1;
    *preferred = static_cast<std::uint32_t>(std::min(cluster_bytes, kMaxPreferredBytes));
    *maximum = kMaxPayloadBytes;
    return 0;
}

int on_can_write(void* handle) {
    return is_writing(handle) ? 1 : 0;
}
int on_can_trim(void* handle) {
    return is_writing(handle) ? 1 : 0;
}
int always(void*) {
    return 1;
}
int never(void*) {
    return 0;
}
int on_can_fua(void*) {
    return NBDKIT_FUA_NATIVE;
}
int on_can_cache(void*) {
    return NBDKIT_CACHE_NATIVE;
}

// Requests, on any number of threads at once.

int on_pread(void*, void* buffer, std::uint32_t count, std::uint64_t offset, std::uint32_t) {
    return answer(
        server.image->read_blocking(GuestOffset{offset}, {static_cast<std::byte*>(buffer), count}));
}

int on_pwrite(void*, const void* buffer, std::uint32_t count, std::uint64_t offset,
              std::uint32_t flags) {
    return answer_change(server.image->write_blocking(
        GuestOffset{offset}, {static_cast<const std::byte*>(buffer), count}, fua_flag(flags)));
}

int on_zero(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    WriteFlags how = fua_flag(flags);
    // Without this flag the client has sent NBD_CMD_FLAG_NO_HOLE.
    how = how | ((flags & NBDKIT_FLAG_MAY_TRIM) != 0 ? WriteFlags::may_unmap : WriteFlags::no_hole);
    if ((flags & NBDKIT_FLAG_FAST_ZERO) != 0) how = how | WriteFlags::no_fallback;
    return answer_change(server.image->write_zeroes_blocking(GuestOffset{offset}, count, how));
}

int on_trim(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    Result<void> done = server.image->discard_blocking(GuestOffset{offset}, count);
    if (done && (flags & NBDKIT_FLAG_FUA) != 0) done = server.image->flush_blocking();
    return answer_change(done);
}

int on_flush(void*, std::uint32_t) {
    return answer(server.image->flush_blocking());
}

int on_cache(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
    if (flags != 0) {
        nbdkit_set_error(EINVAL);
        return -1;
    }
    return answer(server.image->prefetch_blocking(GuestOffset{offset}, count));
}

std::uint32_t extent_type(const MappedExtent& extent) {
    if (!extent.data) return NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
    return extent.zero ? NBDKIT_EXTENT_ZERO : 0;
}

/// Describes [offset, offset + count), with at most kMaxExtentsInReply extents. An unreadable part
/// ends the reply; a request that starts there fails.
int on_extents(void*, std::uint32_t count, std::uint64_t offset, std::uint32_t flags,
               nbdkit_extents* extents) {
    const bool only_first = (flags & NBDKIT_FLAG_REQ_ONE) != 0;
    const std::uint64_t end = offset + count;
    std::optional<std::uint32_t> previous;
    unsigned runs = 0;
    for (std::uint64_t at = offset; at < end;) {
        const auto extent = server.image->map_blocking(GuestOffset{at}, end - at);
        if (!extent) {
            if (previous) return 0;
            nbdkit_set_error(nbd_errno(extent.error()));
            nbdkit_error("%s", extent.error().message().c_str());
            return -1;
        }
        const std::uint32_t type = extent_type(*extent);
        if (previous != type) {
            if (runs == kMaxExtentsInReply || (only_first && previous)) return 0;
            ++runs;
        }
        previous = type;
        if (nbdkit_add_extent(extents, at, extent->length, type) < 0) return -1;
        at += extent->length;
    }
    return 0;
}

void set_life_cycle(nbdkit_plugin& plugin) {
    plugin.name = "qed";
    plugin.longname = "nbdkit qed plugin";
    plugin.version = kVersion.data();
    plugin.description =
        "Serves a virtual disk that is stored as a QED image, with its backing "
        "files.";
    plugin.magic_config_key = "file";
    plugin.config_help = kConfigHelp;
    plugin.load = on_load;
    plugin.config = on_config;
    plugin.config_complete = on_config_complete;
    plugin.dump_plugin = on_dump_plugin;
    plugin.get_ready = on_get_ready;
    plugin.after_fork = on_after_fork;
    plugin.cleanup = on_cleanup;
    plugin.unload = on_unload;
}

void set_negotiation(nbdkit_plugin& plugin) {
    plugin.preconnect = on_preconnect;
    plugin.list_exports = on_list_exports;
    plugin.default_export = on_default_export;
    plugin.open = on_open;
    plugin.export_description = on_export_description;
    plugin.get_size = on_get_size;
    plugin.block_size = on_block_size;
    plugin.can_write = on_can_write;
    plugin.can_trim = on_can_trim;
    plugin.can_zero = always;
    plugin.can_fast_zero = always;
    plugin.can_flush = always;
    plugin.can_extents = always;
    plugin.can_fua = on_can_fua;
    plugin.can_cache = on_can_cache;
    // All connections share one Image, so a flush on one covers the completed writes of all.
    plugin.can_multi_conn = always;
    plugin.is_rotational = never;
}

void set_requests(nbdkit_plugin& plugin) {
    plugin.pread = on_pread;
    plugin.pwrite = on_pwrite;
    plugin.zero = on_zero;
    plugin.trim = on_trim;
    plugin.flush = on_flush;
    plugin.cache = on_cache;
    plugin.extents = on_extents;
}

nbdkit_plugin make_plugin() {
    nbdkit_plugin plugin{};
    set_life_cycle(plugin);
    set_negotiation(plugin);
    set_requests(plugin);
    return plugin;
}

nbdkit_plugin plugin = make_plugin();

}  // namespace
}  // namespace qed::nbdkit

NBDKIT_REGISTER_PLUGIN(qed::nbdkit::plugin)
