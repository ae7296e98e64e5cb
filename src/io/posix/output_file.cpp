// SPDX-License-Identifier: Apache-2.0
#include "qed/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/no_throw.hpp"
#include "base/unique_descriptor.hpp"
#include "io/posix/descriptor_access.hpp"
#include "io/posix/file_attributes.hpp"
#include "io/posix/folder.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/files.hpp"

namespace qed {
namespace {

constexpr mode_t kNewMode = 0644;  // less the umask, as open_file() does
constexpr int kMaxLinks = 40;      // what the system follows

std::unexpected<Error> failed(int error, std::string_view what) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("{}: {}", what, strerrordesc_np(error))));
}

FileOptions file_options(const OutputOptions& options) {
    FileOptions file;
    file.writable = true;
    file.direct = options.direct;
    file.sync = options.sync;
    file.ignore_flush = options.ignore_flush;
    return file;
}

/// The target of the name after all symbolic links, whether or not a file exists there.
std::string resolve_links(const std::string& path) {
    std::error_code error;
    std::filesystem::path resolved = path;
    for (int hops = 0; hops < kMaxLinks && std::filesystem::is_symlink(resolved, error); ++hops) {
        const auto next = std::filesystem::read_symlink(resolved, error);
        if (error) break;
        resolved = next.is_absolute() ? next : resolved.parent_path() / next;
    }
    return resolved.string();
}

}  // namespace

// Hidden: a class in a class that is exported would be exported with it.
struct [[gnu::visibility("hidden")]] OutputFile::Parts {
    Parts(std::string given, std::string resolved, Folder opened, const OutputOptions& how)
        : given_path(std::move(given)),
          path(std::move(resolved)),
          name(leaf_of(path)),
          folder(std::move(opened)),
          options(how) {}
    ~Parts() {
        if (!unfinished.empty()) ::unlinkat(folder.descriptor(), unfinished.c_str(), 0);
    }
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;

    static Result<std::unique_ptr<Parts>> make(const std::string& path,
                                               const OutputOptions& options);
    /// Finds and locks the file that has the name already. True: it is a device.
    Result<bool> hold_old();
    Result<void> open_new();
    Result<void> adopt_rights_of_old();
    Result<void> give_name();
    Result<void> link_as(const std::string& to);

    std::string given_path;
    std::string path;  ///< with symbolic links resolved
    std::string name;  ///< the last part of it
    Folder folder;
    OutputOptions options;
    std::string unfinished;  ///< the name in the folder until the file is published, if it has one
    std::unique_ptr<BlockFile> file;
    std::unique_ptr<BlockFile> old;  ///< locked, so that no other process starts to use it
    UniqueDescriptor descriptor;     ///< a duplicate, which outlives `file`
    bool is_new = false;
};

Result<std::unique_ptr<OutputFile::Parts>> OutputFile::Parts::make(const std::string& path,
                                                                   const OutputOptions& options) {
    struct stat status{};
    if (options.exclusive && ::lstat(path.c_str(), &status) == 0) {
        return failed(EEXIST, fmt::format("{}: cannot create it", path));
    }
    std::string resolved = resolve_links(path);
    if (::stat(path.c_str(), &status) != 0 && errno != ENOENT) {
        return failed(errno, fmt::format("{}: cannot create it", path));
    }
    auto folder = Folder::of(resolved);
    if (!folder) return pass(folder);
    return std::make_unique<Parts>(path, std::move(resolved), std::move(*folder), options);
}

Result<bool> OutputFile::Parts::hold_old() {
    struct stat status{};
    if (options.exclusive || ::stat(path.c_str(), &status) != 0) return false;
    const bool is_device = S_ISBLK(status.st_mode);
    FileOptions open = file_options(options);
    open.direct = is_device && options.direct;
    if (options.lock) open.lock = is_device ? LockRole::writer : LockRole::creator;
    auto opened = open_file(path, open);
    if (!opened) return pass(opened);
    old = std::move(*opened);
    return is_device;
}

Result<void> OutputFile::Parts::open_new() {
    const int flags =
        O_RDWR | O_CLOEXEC | (options.direct ? O_DIRECT : 0) | (options.sync ? O_DSYNC : 0);
    UniqueDescriptor opened;
    // A file without a name gets one through /proc.
    bool needs_name = options.named || ::access("/proc/self/fd", X_OK) != 0;
    if (!needs_name) {
        opened = UniqueDescriptor(
            open_above_standard(folder.descriptor(), ".", O_TMPFILE | flags, kNewMode));
        const bool cannot = errno == EOPNOTSUPP || errno == EISDIR || errno == ENOSYS;
        needs_name = !opened && cannot;
    }
    if (needs_name) {
        unfinished = folder.unfinished_name(name);
        opened = UniqueDescriptor(open_above_standard(folder.descriptor(), unfinished.c_str(),
                                                      O_CREAT | O_EXCL | flags, kNewMode));
    }
    if (!opened) {
        const int error = errno;
        unfinished.clear();
        return failed(error, fmt::format("{}: cannot create it: no new file in folder '{}'",
                                         given_path, folder.path()));
    }
    descriptor = UniqueDescriptor(::fcntl(opened.get(), F_DUPFD_CLOEXEC, 3));
    if (!descriptor) return failed(errno, fmt::format("{}: cannot create it", given_path));
    auto adopted = adopt_descriptor(opened.release(), path, file_options(options));
    if (!adopted) return pass(adopted);
    file = std::move(*adopted);
    is_new = true;
    return {};
}

Result<void> OutputFile::Parts::adopt_rights_of_old() {
    const int old_descriptor = DescriptorAccess::of(*old);
    QED_ASSERT(old_descriptor >= 0);
    struct stat status{};
    if (::fstat(old_descriptor, &status) != 0) {
        return failed(errno, fmt::format("{}: cannot examine it", path));
    }
    // Only a privileged process may give files away; otherwise the new file is the user's own.
    if (::fchown(descriptor.get(), status.st_uid, status.st_gid) != 0 && errno != EPERM) {
        return failed(errno, fmt::format("{}: owner of the new file", path));
    }
    QED_CHECK(copy_attributes(old_descriptor, descriptor.get(), path));
    if (::fchmod(descriptor.get(), status.st_mode & 07777U) != 0 && errno != EPERM) {
        return failed(errno, fmt::format("{}: mode of the new file", path));
    }
    return {};
}

Result<void> OutputFile::Parts::link_as(const std::string& to) {
    const std::string self = fmt::format("/proc/self/fd/{}", descriptor.get());
    if (::linkat(AT_FDCWD, self.c_str(), folder.descriptor(), to.c_str(), AT_SYMLINK_FOLLOW) == 0) {
        return {};
    }
    const int error = errno;
    return failed(error, fmt::format("{}: cannot give the finished file this name", path));
}

Result<void> OutputFile::Parts::give_name() {
    if (unfinished.empty() && old == nullptr) return link_as(name);
    if (unfinished.empty()) {
        std::string between = folder.unfinished_name(name);
        QED_CHECK(link_as(between));
        unfinished = std::move(between);
    }
    if (old == nullptr) {
        auto named = folder.rename_to_free_name(unfinished, folder, name);
        const bool may_replace =
            !named && named.error().code() == Errc::unsupported && !options.exclusive;
        if (!named && !may_replace) return named;
        if (named) unfinished.clear();
    }
    if (!unfinished.empty()) QED_CHECK(folder.rename_over(unfinished, name));
    unfinished.clear();
    return {};
}

OutputFile::OutputFile(std::unique_ptr<Parts> parts) noexcept : parts_(std::move(parts)) {}

OutputFile::~OutputFile() = default;

Result<std::unique_ptr<OutputFile>> OutputFile::create(const std::string& path,
                                                       const OutputOptions& options) {
    return without_throwing([&]() -> Result<std::unique_ptr<OutputFile>> {
        auto parts = Parts::make(path, options);
        if (!parts) return pass(parts);
        auto is_device = (*parts)->hold_old();
        if (!is_device) return pass(is_device);
        if (*is_device && options.named) {
            return fail(
                Errc::unsupported,
                fmt::format("'{}' is a device; only raw and qed are written to devices", path));
        }
        if (*is_device) {
            (*parts)->descriptor =
                UniqueDescriptor(::fcntl(DescriptorAccess::of(*(*parts)->old), F_DUPFD_CLOEXEC, 3));
            if (!(*parts)->descriptor) return failed(errno, path);
            (*parts)->file = std::move((*parts)->old);
            return std::unique_ptr<OutputFile>(new OutputFile(std::move(*parts)));
        }
        if ((*parts)->old != nullptr) {
            QED_CHECK((*parts)->folder.check_replaceable((*parts)->name));
        }
        QED_CHECK((*parts)->open_new());
        if ((*parts)->old != nullptr) QED_CHECK((*parts)->adopt_rights_of_old());
        return std::unique_ptr<OutputFile>(new OutputFile(std::move(*parts)));
    });
}

Result<std::unique_ptr<OutputFile>> OutputFile::replace(const std::string& path,
                                                        std::unique_ptr<BlockFile> locked,
                                                        const OutputOptions& options) {
    return without_throwing([&]() -> Result<std::unique_ptr<OutputFile>> {
        auto parts = Parts::make(path, options);
        if (!parts) return pass(parts);
        (*parts)->old = std::move(locked);
        QED_CHECK((*parts)->folder.check_replaceable((*parts)->name));
        QED_CHECK((*parts)->open_new());
        QED_CHECK((*parts)->adopt_rights_of_old());
        return std::unique_ptr<OutputFile>(new OutputFile(std::move(*parts)));
    });
}

BlockFile& OutputFile::file() {
    return *parts_->file;
}

std::unique_ptr<BlockFile> OutputFile::take_file() {
    return std::move(parts_->file);
}

const std::string& OutputFile::directory() const {
    return parts_->folder.path();
}

std::string OutputFile::working_name() const {
    return parts_->folder.path() + "/" + parts_->unfinished;
}

bool OutputFile::is_new() const {
    return parts_->is_new;
}

Result<void> OutputFile::publish(Durability durability) {
    return without_throwing([&]() -> Result<void> {
        if (durability != Durability::none && ::fsync(parts_->descriptor.get()) != 0) {
            const int error = errno;
            return failed(error, fmt::format("writing '{}' to the disk", parts_->path));
        }
        if (!is_new()) return {};
        QED_CHECK(parts_->give_name());
        return durability == Durability::content_and_name ? flush_name() : Result<void>{};
    });
}

Result<void> OutputFile::flush_name() {
    return parts_->folder.flush(parts_->descriptor.get());
}

}  // namespace qed
