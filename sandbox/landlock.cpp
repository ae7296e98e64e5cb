// SPDX-License-Identifier: Apache-2.0
#include "sandbox/landlock.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

namespace qed::sandbox {
namespace {

/// The kernel's struct with fields that the headers of Debian 12 lack. Fields that a kernel does
/// not know must be zero.
struct RulesetAttributes {
    std::uint64_t files = 0;
    std::uint64_t network = 0;  ///< since version 4
    std::uint64_t scoped = 0;   ///< since version 6
};

constexpr std::uint64_t kFirstVersionFiles = (1U << 13) - 1;
constexpr std::uint64_t kRefer = 1U << 13;        // version 2: links and renames across folders
constexpr std::uint64_t kTruncate = 1U << 14;     // version 3
constexpr std::uint64_t kDeviceIoctl = 1U << 15;  // version 5
constexpr std::uint64_t kBindAndConnectTcp = 3;   // version 4
constexpr std::uint64_t kAbstractSocketsAndSignals = 3;  // version 6

class Descriptor {
public:
    explicit Descriptor(long number) noexcept : number_(static_cast<int>(number)) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const noexcept { return number_; }

private:
    const int number_;
};

RulesetAttributes everything_known_to(long version) noexcept {
    RulesetAttributes all;
    all.files = kFirstVersionFiles;
    if (version >= 2) all.files |= kRefer;
    if (version >= 3) all.files |= kTruncate;
    if (version >= 4) all.network = kBindAndConnectTcp;
    if (version >= 5) all.files |= kDeviceIoctl;
    if (version >= 6) all.scoped = kAbstractSocketsAndSignals;
    return all;
}

std::unexpected<Error> failed(std::string_view action) {
    const int code = errno;
    return std::unexpected(
        Error::from_errno(code, fmt::format("sandbox: {}: {}", action, std::strerror(code))));
}

Result<void> allow(int ruleset, const std::string& path, std::uint64_t access) {
    const Descriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (place.get() < 0) return failed(path);
    landlock_path_beneath_attr rule{};
    rule.allowed_access = access;
    rule.parent_fd = place.get();
    if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        return failed(fmt::format("allowing {}", path));
    }
    return {};
}

}  // namespace

Result<Missing> restrict_files(const Needs& needs) {
    const long version =
        ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) return Missing("this kernel has no Landlock");
    const RulesetAttributes all = everything_known_to(version);
    const Descriptor ruleset(::syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0));
    if (ruleset.get() < 0) return failed("making a Landlock ruleset");
    for (const std::string& path : needs.reread) {
        QED_CHECK(allow(ruleset.get(), path, LANDLOCK_ACCESS_FS_READ_FILE));
    }
    for (const std::string& path : needs.naming_folders) {
        QED_CHECK(allow(ruleset.get(), path,
                        LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE));
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("giving up new privileges");
    if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
        return failed("entering Landlock");
    }
    return Missing();
}

}  // namespace qed::sandbox
