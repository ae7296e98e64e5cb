// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libnbd.h>

#include "qed/error.hpp"

namespace qed {

/// The used functions of libnbd: `nbd->pread` is its nbd_pread(), and so on. It is loaded when the
/// first NBD address is opened, because the libraries that it needs (TLS, XML, Unicode) take longer
/// to start than the rest of the program.
struct NbdLibrary {
    /// Loads it once per process, without unloading it. Callable from any thread.
    /// \errors unsupported: libnbd is not installed, or too old
    static Result<const NbdLibrary*> load();

    decltype(&nbd_get_error) get_error = nullptr;
    decltype(&nbd_get_errno) get_errno = nullptr;
    decltype(&nbd_create) create = nullptr;
    decltype(&nbd_close) close = nullptr;
    decltype(&nbd_add_meta_context) add_meta_context = nullptr;
    decltype(&nbd_set_uri_allow_local_file) set_uri_allow_local_file = nullptr;
    decltype(&nbd_connect_uri) connect_uri = nullptr;
    decltype(&nbd_aio_connect_uri) aio_connect_uri = nullptr;
    decltype(&nbd_aio_is_ready) aio_is_ready = nullptr;
    decltype(&nbd_poll) poll = nullptr;
    decltype(&nbd_shutdown) shutdown = nullptr;
    decltype(&nbd_get_size) get_size = nullptr;
    decltype(&nbd_get_block_size) get_block_size = nullptr;
    decltype(&nbd_is_read_only) is_read_only = nullptr;
    decltype(&nbd_can_multi_conn) can_multi_conn = nullptr;
    decltype(&nbd_can_zero) can_zero = nullptr;
    decltype(&nbd_can_flush) can_flush = nullptr;
    decltype(&nbd_can_meta_context) can_meta_context = nullptr;
    decltype(&nbd_pread) pread = nullptr;
    decltype(&nbd_pwrite) pwrite = nullptr;
    decltype(&nbd_zero) zero = nullptr;
    decltype(&nbd_flush) flush = nullptr;
    decltype(&nbd_block_status) block_status = nullptr;
};

}  // namespace qed
