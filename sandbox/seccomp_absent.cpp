// SPDX-License-Identifier: Apache-2.0
// Replaces seccomp.cpp in programs that are built without libseccomp (QED_WITH_SECCOMP).
#include "sandbox/seccomp.hpp"

namespace qed::sandbox {

Result<Missing> restrict_calls(const Needs&) {
    return Missing("system calls are not filtered: built without seccomp (QED_WITH_SECCOMP)");
}

}  // namespace qed::sandbox
