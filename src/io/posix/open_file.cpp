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
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "base/unique_descriptor.hpp"
#include "io/direct/direct_alignment.hpp"
#include "io/direct/direct_file.hpp"
#include "io/mapped/file_mapping.hpp"
#include "io/mapped/mapped_file.hpp"
#include "io/posix/descriptor_access.hpp"
#include "io/posix/file_lock.hpp"
#include "io/posix/name_lookup.hpp"
#include "io/posix/posix_file.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/files.hpp"

namespace qed {

namespace {

/// A name that leads to another file each time would keep the caller here for ever.
constexpr unsigned kAttempts = 16;
/// Marks the identities of block devices, which may have any number of nodes.
constexpr std::uint64_t kDevices = std::uint64_t{1} << 63;

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
    if (failure == EBUSY && options.writable) {
        return fail(Errc::locked,
                    fmt::format("{}: is mounted, or another program has it for itself; unmount it "
                                "first",
                                name),
                    failure);
    }
    const char* action = "open it for reading";
    if (options.writable) action = "open it for reading and writing";
    if (options.create) action = "create it";
    return fail_errno(failure, name, action);
}

FileIdentity identity_of(const struct stat& status) noexcept {
    if (S_ISBLK(status.st_mode)) return {.storage = kDevices, .object = status.st_rdev};
    return {.storage = status.st_dev, .object = status.st_ino};
}

/// What the file system of a regular file is known for.
void examine_file_system(int descriptor, FileTraits& traits) noexcept {
    struct statfs status{};
    if (::fstatfs(descriptor, &status) != 0) return;
    traits.reads_from_memory = status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC;
    // ext2 and ext3 have the same magic. Other file systems gain nothing: XFS takes longer, tmpfs
    // would fill the pages twice, and btrfs would not compress them.
    traits.likes_preallocation = status.f_type == EXT4_SUPER_MAGIC;
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
    traits.identity = identity_of(status);
    if (S_ISREG(status.st_mode)) {
        examine_file_system(descriptor, traits);
        traits.bytes = static_cast<std::uint64_t>(status.st_size);
    }
    if ((wanted_flags & O_DIRECT) != 0 && !traits.reads_from_memory) {
        traits.alignment = direct_alignment(descriptor);
        // Direct writes do not pass the page cache, where blocks are accounted for.
        traits.likes_preallocation = traits.likes_preallocation && traits.alignment.offset == 1;
        return traits;
    }
    traits.reads_nowait = !traits.reads_from_memory && reads_nowait(descriptor);
    // Local file systems copy a write into the page cache and return; on network file systems the
    // copy may wait for a server. File systems that support RWF_NOWAIT are local.
    const bool is_local = traits.reads_from_memory || traits.reads_nowait;
    traits.writes_inline = is_local && (flags & O_DSYNC) == 0;
    return traits;
}

Result<std::unique_ptr<BlockFile>> make_file(UniqueDescriptor& descriptor, std::string name,
                                             const FileOptions& options) {
    Result<FileTraits> traits = examine(descriptor.get(), name, options);
    if (!traits) return pass(traits);
    if (options.truncate && traits->device_block == 0) {
        if (::ftruncate(descriptor.get(), 0) != 0) return fail_errno(errno, name, "empty it");
        traits->bytes = 0;
    }
    auto file = std::make_unique<PosixFile>(descriptor.get(), std::move(name), *traits);
    static_cast<void>(descriptor.release());  // only now: the allocation may have failed
    const Alignment alignment = traits->alignment;
    if (alignment.offset != 1 || alignment.memory != 1) {
        return std::make_unique<DirectFile>(std::move(file));
    }
    if (!options.mapped || options.writable) return file;
    const Result<std::uint64_t> bytes = file->size();
    if (!bytes) return std::unexpected(bytes.error().clone());
    auto mapping = FileMapping::create(DescriptorAccess::of(*file), *bytes);
    if (mapping == nullptr) return file;
    return std::make_unique<MappedFile>(std::move(file), std::move(mapping));
}

Result<UniqueDescriptor> open_once(const NameLookup& lookup, std::string_view name,
                                   const FileOptions& options) {
    int flags = open_flags(options);
    struct stat status{};
    const bool makes = options.create && options.exclusive;
    if (!makes && lookup.examine(status)) {
        QED_CHECK(check_kind(status.st_mode, name));
        // For a device this is the lock that a mounted file system respects.
        const bool excludes = S_ISBLK(status.st_mode) && options.writable && !options.create &&
                              options.lock != LockRole::none;
        if (excludes) flags |= O_EXCL;
    }
    UniqueDescriptor descriptor = lookup.open(flags);
    if (!descriptor) return open_failure(errno, name, options);
    return descriptor;
}

bool leads_to(const NameLookup& lookup, int descriptor) noexcept {
    struct stat named{};
    struct stat opened{};
    return lookup.examine(named) && ::fstat(descriptor, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

Result<std::unique_ptr<BlockFile>> open_and_lock(const NameLookup& lookup, std::string name,
                                                 const FileOptions& options) {
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        auto descriptor = open_once(lookup, name, options);
        if (!descriptor) return pass(descriptor);
        if (options.lock == LockRole::none) return make_file(*descriptor, std::move(name), options);
        auto locked = FileLock::acquire(descriptor->get(), options.lock, name);
        const bool is_named = leads_to(lookup, descriptor->get());
        if (locked && is_named) return make_file(*descriptor, std::move(name), options);
        // The process that replaces a file holds the lock of the old one until it is done.
        if (!locked && (is_named || locked.error().code() != Errc::locked)) return pass(locked);
    }
    return fail(Errc::locked,
                fmt::format("{}: was replaced by other processes {} times while it was opened; try "
                            "again",
                            name, kAttempts));
}

Result<std::unique_ptr<BlockFile>> open_file(const std::string& path, const FileOptions& options) {
    return without_throwing([&] {
        const int directory = options.directory >= 0 ? options.directory : AT_FDCWD;
        return open_and_lock({.directory = directory, .path = path.c_str()}, path, options);
    });
}

Result<std::unique_ptr<BlockFile>> adopt_descriptor(int descriptor, std::string name,
                                                    const FileOptions& options) {
    UniqueDescriptor owned(move_above_standard(descriptor));
    return without_throwing([&]() -> Result<std::unique_ptr<BlockFile>> {
        if (options.lock != LockRole::none) {
            QED_CHECK(FileLock::acquire(owned.get(), options.lock, name));
        }
        return make_file(owned, std::move(name), options);
    });
}

}  // namespace qed
