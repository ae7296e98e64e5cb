// SPDX-License-Identifier: Apache-2.0
#include "io/nbd/nbd_library.hpp"

#include <dlfcn.h>

#include <fmt/format.h>

#include "qed/nbd.hpp"

namespace qed {
namespace {

constexpr const char* kName = "libnbd.so.0";

std::unexpected<Error> cannot_load() {
    return fail(Errc::unsupported, fmt::format("NBD needs {}, which cannot be loaded ({}); on "
                                               "Debian and Ubuntu: apt-get install libnbd0",
                                               kName, dlerror()));
}

template <class Function>
bool find(void* library, const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(dlsym(library, name));
    return function != nullptr;
}

bool find_all(void* library, NbdLibrary& nbd) {
    return find(library, "nbd_get_error", nbd.get_error) &&
           find(library, "nbd_get_errno", nbd.get_errno) &&
           find(library, "nbd_create", nbd.create) && find(library, "nbd_close", nbd.close) &&
           find(library, "nbd_add_meta_context", nbd.add_meta_context) &&
           find(library, "nbd_set_uri_allow_local_file", nbd.set_uri_allow_local_file) &&
           find(library, "nbd_connect_uri", nbd.connect_uri) &&
           find(library, "nbd_aio_connect_uri", nbd.aio_connect_uri) &&
           find(library, "nbd_aio_is_ready", nbd.aio_is_ready) &&
           find(library, "nbd_poll", nbd.poll) && find(library, "nbd_shutdown", nbd.shutdown) &&
           find(library, "nbd_get_size", nbd.get_size) &&
           find(library, "nbd_get_block_size", nbd.get_block_size) &&
           find(library, "nbd_is_read_only", nbd.is_read_only) &&
           find(library, "nbd_can_multi_conn", nbd.can_multi_conn) &&
           find(library, "nbd_can_zero", nbd.can_zero) &&
           find(library, "nbd_can_flush", nbd.can_flush) &&
           find(library, "nbd_can_meta_context", nbd.can_meta_context) &&
           find(library, "nbd_pread", nbd.pread) && find(library, "nbd_pwrite", nbd.pwrite) &&
           find(library, "nbd_zero", nbd.zero) && find(library, "nbd_flush", nbd.flush) &&
           find(library, "nbd_block_status", nbd.block_status);
}

Result<NbdLibrary> load_once() {
    // Never closed: open files hold its handles until the program ends.
    void* const library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
    NbdLibrary nbd;
    if (library == nullptr || !find_all(library, nbd)) return cannot_load();
    return nbd;
}

}  // namespace

Result<const NbdLibrary*> NbdLibrary::load() {
    static const Result<NbdLibrary> loaded = load_once();
    if (!loaded) return std::unexpected(loaded.error().clone());
    return &*loaded;
}

Result<void> load_nbd() {
    const auto library = NbdLibrary::load();
    if (!library) return std::unexpected(library.error().clone());
    return {};
}

}  // namespace qed
