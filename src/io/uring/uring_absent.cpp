// SPDX-License-Identifier: Apache-2.0
// Replaces UringLoop in a libqed that is built without liburing (QED_WITH_URING).
#include "base/assert.hpp"
#include "qed/files.hpp"

namespace qed {

struct [[gnu::visibility("hidden")]] UringLoop::Impl {};

UringLoop::~UringLoop() = default;

Result<std::unique_ptr<UringLoop>> UringLoop::create(const UringOptions&) {
    return fail(Errc::unsupported,
                "this libqed was built without io_uring (QED_WITH_URING): use blocking I/O");
}

void UringLoop::post(Waiter&) noexcept {
    QED_ASSERT(false && "create() makes none");
}
IoLoop* UringLoop::io_loop() noexcept {
    return nullptr;
}
void UringLoop::run_until(const bool&) {
    QED_ASSERT(false && "create() makes none");
}

}  // namespace qed
