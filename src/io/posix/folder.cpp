// SPDX-License-Identifier: Apache-2.0
#include "io/posix/folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "io/posix/descriptor_access.hpp"
#include "io/posix/standard_descriptors.hpp"

namespace qed {
namespace {

constexpr std::size_t kUsualNameBytes = 255;

std::unexpected<Error> failed(int error, std::string_view what) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("{}: {}", what, strerrordesc_np(error))));
}

std::string folder_path_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_mount_point(int folder, const std::string& name) {
    struct statx status{};
    if (::statx(folder, name.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) != 0) return false;
    return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

}  // namespace

std::string leaf_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

Folder::Folder(std::string path, UniqueDescriptor descriptor, bool is_searchable_only)
    : path_(std::move(path)),
      descriptor_(std::move(descriptor)),
      longest_name_(kUsualNameBytes),
      is_searchable_only_(is_searchable_only) {
    // Asked now, because a sandbox may forbid the system call later.
    const long limit = is_searchable_only_ ? -1 : ::fpathconf(descriptor_.get(), _PC_NAME_MAX);
    if (limit > 0) longest_name_ = static_cast<std::size_t>(limit);
}

Result<Folder> Folder::of(const std::string& path) {
    std::string folder = folder_path_of(path);
    constexpr int kFlags = O_DIRECTORY | O_CLOEXEC;
    UniqueDescriptor descriptor(
        open_above_standard(AT_FDCWD, folder.c_str(), O_RDONLY | kFlags, 0));
    const bool is_searchable_only = !descriptor && errno == EACCES;
    if (is_searchable_only) {
        descriptor =
            UniqueDescriptor(open_above_standard(AT_FDCWD, folder.c_str(), O_PATH | kFlags, 0));
    }
    if (!descriptor) {
        const int error = errno;
        return failed(error, fmt::format("{}: cannot open folder '{}'", path, folder));
    }
    return Folder(std::move(folder), std::move(descriptor), is_searchable_only);
}

Result<void> Folder::rename_to_free_name(const std::string& from, const Folder& folder,
                                         const std::string& to) const {
    const auto cannot = [&](int error) {
        return failed(error,
                      fmt::format("{}/{}: cannot give '{}' this name", folder.path(), to, from));
    };
    const int target = folder.descriptor();
    if (::renameat2(descriptor(), from.c_str(), target, to.c_str(), RENAME_NOREPLACE) == 0) {
        return {};
    }
    if (errno != EINVAL && errno != ENOSYS) return cannot(errno);
    if (::linkat(descriptor(), from.c_str(), target, to.c_str(), 0) == 0) {
        if (::unlinkat(descriptor(), from.c_str(), 0) == 0) return {};
        const int error = errno;
        ::unlinkat(target, to.c_str(), 0);
        return cannot(error);
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) return cannot(errno);
    return fail(Errc::unsupported,
                fmt::format("{}/{}: this file system has neither hard links nor renaming without "
                            "replacement, one of which this needs",
                            folder.path(), to),
                EOPNOTSUPP);
}

Result<void> Folder::rename_over(const std::string& from, const std::string& to) const {
    if (::renameat(descriptor(), from.c_str(), descriptor(), to.c_str()) == 0) return {};
    const int error = errno;
    return failed(error, fmt::format("{}/{}: cannot give the finished file this name", path_, to));
}

Result<void> Folder::check_replaceable(const std::string& name) const {
    if (is_mount_point(descriptor(), name)) {
        return fail(Errc::unsupported,
                    fmt::format("{}/{}: is a mount point, and no other file can take its place",
                                path_, name),
                    EBUSY);
    }
    // The system first checks whether the name may be removed, and then whether it is a folder. So
    // the error for a file that may be removed is "not a directory"; sticky folders, immutable
    // files and read-only mounts give other errors. The call never removes a file.
    if (::unlinkat(descriptor(), name.c_str(), AT_REMOVEDIR) == 0) return {};
    const int error = errno;
    if (error != EPERM && error != EACCES && error != EROFS && error != EBUSY) return {};
    return fail(Errc::unsupported,
                fmt::format("{}/{}: no other file can take its place: {}", path_, name,
                            strerrordesc_np(error)),
                error);
}

Result<void> Folder::flush(const BlockFile& file) const {
    return flush(DescriptorAccess::of(file));
}

Result<void> Folder::flush(int file) const {
    const int done = is_searchable_only_ ? ::syncfs(file) : ::fsync(descriptor());
    const int error = done != 0 ? errno : 0;
    if (error == 0 || error == EINVAL) return {};
    return failed(error, fmt::format("writing folder '{}' to the disk", path_));
}

std::string Folder::unfinished_name(const std::string& name) const {
    std::random_device random;
    const std::string ending = fmt::format(".{:08x}.unfinished", random());
    std::size_t kept =
        std::min(name.size(), longest_name_ - std::min(longest_name_, ending.size()));
    // Not in the middle of a UTF-8 character: some file systems refuse halves.
    while (kept > 0 && kept < name.size() &&
           (static_cast<unsigned char>(name[kept]) & 0xC0) == 0x80) {
        --kept;
    }
    return name.substr(0, kept) + ending;
}

}  // namespace qed
