// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "io/direct/direct_alignment.hpp"
#include "io/direct/direct_file.hpp"
#include "io/mapped/file_mapping.hpp"
#include "io/mapped/mapped_file.hpp"
#include "io/posix/posix_file.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/files.hpp"

namespace qed {

namespace {

/// Closes a descriptor unless it is passed on.
class Descriptor {
public:
    explicit Descriptor(int value) noexcept : value_(value) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    int get() const noexcept { return value_; }
    int release() noexcept { return std::exchange(value_, -1); }

private:
    int value_;
};

std::unexpected<Error> fail_errno(int failure, std::string_view name, std::string_view action) {
    return std::unexpected(Error::from_errno(
        failure, fmt::format("{}: cannot {}: {}", name, action, strerrordesc_np(failure))));
}

/// Accepts regular files and block devices only. Other files have no offsets, and opening one may
/// block or make a device act.
Result<void> check_kind(mode_t mode, std::string_view name) {
    if (S_ISREG(mode) || S_ISBLK(mode)) return {};
    const char* kind = "something else";
    if (S_ISDIR(mode)) kind = "a directory";
    if (S_ISFIFO(mode)) kind = "a FIFO";
    if (S_ISSOCK(mode)) kind = "a socket";
    if (S_ISCHR(mode)) kind = "a character device";
    return fail(Errc::invalid_argument,
                fmt::format("{}: expected a regular file or a block device, found {}", name, kind));
}

int open_flags(const FileOptions& options) noexcept {
    // O_NONBLOCK: a FIFO that replaces the file after the check must not block the call.
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    flags |= options.writable ? O_RDWR : O_RDONLY;
    if (options.create) flags |= O_CREAT;
    if (options.create && options.exclusive) flags |= O_EXCL;
    if (options.direct) flags |= O_DIRECT;
    if (options.sync) flags |= O_DSYNC;
    return flags;
}

std::unexpected<Error> open_failure(int failure, std::string_view name,
                                    const FileOptions& options) {
    if (failure == EINVAL && options.direct) {
        return fail(
            Errc::unsupported,
            fmt::format("{}: the file system does not support direct I/O (O_DIRECT); open the "
                        "file through the page cache",
                        name),
            EOPNOTSUPP);
    }
    const char* action = "open it for reading";
    if (options.writable) action = "open it for reading and writing";
    if (options.create) action = "create it";
    return fail_errno(failure, name, action);
}

bool is_in_memory(int descriptor) noexcept {
    struct statfs status{};
    if (::fstatfs(descriptor, &status) != 0) return false;
    return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
}

bool reads_nowait(int descriptor) noexcept {
    std::byte scratch{};
    iovec buffer{&scratch, 1};
    const ssize_t moved = ::preadv2(descriptor, &buffer, 1, 0, RWF_NOWAIT);
    return moved >= 0 || errno == EAGAIN;
}

/// Checks the descriptor against the options, and finds out how it is best used.
Result<FileTraits> examine(int descriptor, std::string_view name, const FileOptions& options) {
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) return fail_errno(errno, name, "examine it");
    QED_CHECK(check_kind(status.st_mode, name));
    const int flags = ::fcntl(descriptor, F_GETFL);
    if (flags < 0) return fail_errno(errno, name, "examine it");
    const int wanted = options.writable ? O_RDWR : O_RDONLY;
    const int access = flags & O_ACCMODE;
    if (access != wanted && access != O_RDWR) {
        return fail(Errc::permission_denied,
                    fmt::format("{}: the descriptor is not open for {}", name,
                                options.writable ? "reading and writing" : "reading"));
    }
    const int wanted_flags = (flags & ~O_NONBLOCK) | (options.direct ? O_DIRECT : 0);
    if (wanted_flags != flags && ::fcntl(descriptor, F_SETFL, wanted_flags) != 0) {
        return open_failure(errno, name, options);
    }

    FileTraits traits;
    traits.writable = options.writable;
    traits.ignore_flush = options.ignore_flush;
    if (S_ISBLK(status.st_mode)) {
        int block = 0;
        if (::ioctl(descriptor, BLKSSZGET, &block) != 0 || block <= 0) {
            return fail_errno(errno, name, "get the block size of the device");
        }
        traits.device_block = static_cast<std::uint32_t>(block);
    }
    traits.reads_from_memory = S_ISREG(status.st_mode) && is_in_memory(descriptor);
    if ((wanted_flags & O_DIRECT) != 0 && !traits.reads_from_memory) {
        traits.alignment = direct_alignment(descriptor);
        return traits;
    }
    traits.reads_nowait = !traits.reads_from_memory && reads_nowait(descriptor);
    // Local file systems copy a write into the page cache and return; on network file systems the
    // copy may wait for a server. File systems that support RWF_NOWAIT are local.
    const bool is_local = traits.reads_from_memory || traits.reads_nowait;
    traits.writes_inline = is_local && (flags & O_DSYNC) == 0;
    return traits;
}

Result<std::unique_ptr<BlockFile>> make_file(Descriptor& descriptor, std::string name,
                                             const FileOptions& options) {
    Result<FileTraits> traits = examine(descriptor.get(), name, options);
    if (!traits) return pass(traits);
    if (options.truncate && traits->device_block == 0 && ::ftruncate(descriptor.get(), 0) != 0) {
        return fail_errno(errno, name, "empty it");
    }
    auto file = std::make_unique<PosixFile>(descriptor.release(), std::move(name), *traits);
    const Alignment alignment = traits->alignment;
    if (alignment.offset != 1 || alignment.memory != 1) {
        return std::make_unique<DirectFile>(std::move(file));
    }
    if (!options.mapped || options.writable) return file;
    const Result<std::uint64_t> bytes = file->size();
    if (!bytes) return std::unexpected(bytes.error().clone());
    auto mapping = FileMapping::create(file->descriptor(), *bytes);
    if (mapping == nullptr) return file;
    return std::make_unique<MappedFile>(std::move(file), std::move(mapping));
}

Result<std::unique_ptr<BlockFile>> open_path(const std::string& path, const FileOptions& options) {
    const int directory = options.directory >= 0 ? options.directory : AT_FDCWD;
    struct stat status{};
    if (::fstatat(directory, path.c_str(), &status, 0) == 0) {
        if (!(options.create && options.exclusive)) QED_CHECK(check_kind(status.st_mode, path));
    }
    const int opened = open_above_standard(directory, path.c_str(), open_flags(options), 0644);
    if (opened < 0) return open_failure(errno, path, options);
    Descriptor descriptor(opened);
    return make_file(descriptor, path, options);
}

}  // namespace

Result<std::unique_ptr<BlockFile>> open_file(const std::string& path, const FileOptions& options) {
    return without_throwing([&] { return open_path(path, options); });
}

Result<std::unique_ptr<BlockFile>> adopt_descriptor(int descriptor, std::string name,
                                                    const FileOptions& options) {
    Descriptor owned(move_above_standard(descriptor));
    return without_throwing([&] { return make_file(owned, std::move(name), options); });
}

}  // namespace qed
