#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints why a complete sandbox is impossible here, or nothing. It asks the kernel and the build,
not the code under test, because a failure of that code must not look like a reason to skip."""

import ctypes
import os

LANDLOCK_CREATE_RULESET, VERSION = 444, 1
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def takes_filters(libc):
    """Tries a filter that allows everything, in a child process."""
    child = os.fork()
    if child == 0:
        allow_all = b"\x06\0\0\0\0\0\xff\x7f"
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        program = Program(1, allow_all)
        os._exit(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0)
    return os.waitpid(child, 0)[1] == 0


def is_sanitized():
    """Whether the programs under test were built with a sanitizer."""
    return os.environ.get("QED_SANITIZE", "") != ""


def why_not():
    if is_sanitized():
        return "a sanitizer build needs what the sandbox forbids"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, VERSION) < 1:
        return "this kernel has no Landlock"
    return "" if takes_filters(libc) else "this kernel takes no seccomp filter"


if __name__ == "__main__":
    print(why_not())
