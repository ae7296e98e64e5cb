# SPDX-License-Identifier: Apache-2.0
"""NBD clients for the tests, on libnbd."""

import errno

import nbd

HOLE = nbd.STATE_HOLE | nbd.STATE_ZERO
DATA = 0


def connect(uri, lenient=False):
    """A connection. A lenient one may send requests that the server must reject."""
    client = nbd.NBD()
    client.add_meta_context("base:allocation")
    client.set_uri_allow_local_file(True)
    if lenient:
        client.set_strict_mode(0)
    client.connect_uri(uri)
    return client


def block_status(client, offset, length, flags=0):
    """[(length, state)], with equal neighbours merged, clipped to the range."""
    found = []

    def collect(context, _, entries, __):
        if context == "base:allocation":
            found.extend(zip(entries[::2], entries[1::2]))

    client.block_status(length, offset, collect, flags)
    merged, left = [], length
    for count, state in found:
        count = min(count, left)
        left -= count
        if merged and merged[-1][1] == state:
            merged[-1] = (merged[-1][0] + count, state)
        elif count:
            merged.append((count, state))
    return merged


def error_of(call, *arguments):
    """The name of the errno with which a request fails, or None."""
    try:
        call(*arguments)
    except nbd.Error as error:
        # ENOTSUP and EOPNOTSUPP are one number.
        return errno.errorcode[error.errnum].replace("EOPNOTSUPP", "ENOTSUP")
    return None
