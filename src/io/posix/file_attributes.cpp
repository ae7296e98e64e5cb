// SPDX-License-Identifier: Apache-2.0
#include "io/posix/file_attributes.hpp"

#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace qed {
namespace {

constexpr const char* kAccessList = "system.posix_acl_access";
/// The largest sizes that the kernel accepts for the list of names and for a value.
constexpr std::size_t kMaxBytes = 65536;

// Checksums and rights that belong to the old bytes.
constexpr std::array<std::string_view, 3> kOfTheContent = {"security.capability", "security.evm",
                                                           "security.ima"};

bool has_none(int error) {
    return error == ENODATA || error == EOPNOTSUPP;
}

bool is_privileged(std::string_view name) {
    return name.starts_with("security.") || name.starts_with("trusted.");
}

std::unexpected<Error> failed(int error, const std::string& message) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("{}: {}", message, std::strerror(error))));
}

Result<void> copy_attribute(int from, int to, const std::string& name, const std::string& path) {
    std::vector<char> value(kMaxBytes);
    const ssize_t bytes = fgetxattr(from, name.c_str(), value.data(), value.size());
    const bool is_read = bytes >= 0;
    if (is_read &&
        fsetxattr(to, name.c_str(), value.data(), static_cast<std::size_t>(bytes), 0) == 0) {
        return {};
    }
    const int error = errno;
    if (!is_read && error == ENODATA) return {};
    if (is_privileged(name)) return {};
    return failed(error, fmt::format("the file that takes the place of '{}' cannot have its "
                                     "attribute '{}' (remove it with 'setfattr -x' if it is not "
                                     "needed)",
                                     path, name));
}

}  // namespace

Result<void> copy_attributes(int from, int to, const std::string& path) {
    // The folder may have given the new file an access list of its own.
    if (fremovexattr(to, kAccessList) != 0 && !has_none(errno)) {
        return failed(errno, fmt::format("access list of the new '{}'", path));
    }
    std::vector<char> names(kMaxBytes);
    const ssize_t bytes = flistxattr(from, names.data(), names.size());
    if (bytes < 0 && has_none(errno)) return {};
    if (bytes < 0) return failed(errno, fmt::format("attributes of '{}'", path));
    std::string_view rest(names.data(), static_cast<std::size_t>(bytes));
    while (!rest.empty()) {
        const std::string name(rest.substr(0, rest.find('\0')));
        rest.remove_prefix(name.size() + 1);
        if (std::ranges::find(kOfTheContent, name) != kOfTheContent.end()) continue;
        QED_CHECK(copy_attribute(from, to, name, path));
    }
    return {};
}

}  // namespace qed
