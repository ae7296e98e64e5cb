// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "cli/disks/file_attributes.hpp"
#include "qed/file_lock.hpp"

namespace qed::cli {
namespace {

constexpr mode_t kNewMode = 0666;  // less the umask, as for every new file

std::unexpected<Error> failed(int error, const std::string& message) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("{}: {}", message, std::strerror(error))));
}

FileOptions file_options(CacheMode cache) {
    FileOptions options;
    options.writable = true;
    options.direct = cache.direct;
    options.sync = cache.sync;
    options.ignore_flush = cache.ignore_flush;
    return options;
}

/// Where the name leads in the end, whether or not a file is there.
std::string resolve_links(const std::string& path) {
    std::error_code error;
    std::filesystem::path resolved = path;
    for (int hops = 0; hops < 40 && std::filesystem::is_symlink(resolved, error); ++hops) {
        const auto next = std::filesystem::read_symlink(resolved, error);
        if (error) break;
        resolved = next.is_absolute() ? next : resolved.parent_path() / next;
    }
    return resolved.string();
}

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string temporary_name(const std::string& path) {
    std::random_device random;
    return fmt::format("{}.{:08x}.unfinished", path, random());
}

}  // namespace

OutputFile::OutputFile(const std::string& path)
    : path_(resolve_links(path)), directory_(directory_of(path_)) {}

Result<bool> OutputFile::hold_old(const FileOptions& options) {
    struct stat status{};
    if (stat(path_.c_str(), &status) != 0) return false;
    const bool is_device = S_ISBLK(status.st_mode);
    FileOptions plain = options;
    plain.direct = is_device && options.direct;
    auto old = open_file(path_, plain);
    if (!old) return pass(old);
    const LockRole role = is_device ? LockRole::writer : LockRole::creator;
    QED_CHECK(FileLock::acquire((*old)->descriptor(), role, path_));
    old_ = std::move(*old);
    return is_device;
}

Result<std::unique_ptr<OutputFile>> OutputFile::create(const std::string& path, CacheMode cache) {
    std::unique_ptr<OutputFile> output(new OutputFile(path));
    auto is_device = output->hold_old(file_options(cache));
    if (!is_device) return pass(is_device);
    if (*is_device) {
        output->file_ = std::move(output->old_);
        output->descriptor_ = dup(output->file_->descriptor());
        return output;
    }
    QED_CHECK(output->open_new(cache, false));
    if (output->old_ != nullptr) QED_CHECK(output->adopt_rights_of_old());
    return output;
}

Result<std::unique_ptr<OutputFile>> OutputFile::create_named(const std::string& path) {
    std::unique_ptr<OutputFile> output(new OutputFile(path));
    auto is_device = output->hold_old(file_options(CacheMode{}));
    if (!is_device) return pass(is_device);
    if (*is_device) {
        return fail(Errc::unsupported,
                    fmt::format("'{}' is a device; only raw and qed are written to devices", path));
    }
    QED_CHECK(output->open_new(CacheMode{}, true));
    if (output->old_ != nullptr) QED_CHECK(output->adopt_rights_of_old());
    return output;
}

Result<std::unique_ptr<OutputFile>> OutputFile::replace(const std::string& path, CacheMode cache,
                                                        std::unique_ptr<BlockFile> locked) {
    std::unique_ptr<OutputFile> output(new OutputFile(path));
    output->old_ = std::move(locked);
    QED_CHECK(output->open_new(cache, false));
    QED_CHECK(output->adopt_rights_of_old());
    return output;
}

Result<void> OutputFile::open_new(CacheMode cache, bool named) {
    const int flags =
        O_RDWR | O_CLOEXEC | (cache.direct ? O_DIRECT : 0) | (cache.sync ? O_DSYNC : 0);
    int descriptor = -1;
    // A file without a name gets one through /proc.
    bool needs_name = named || access("/proc/self/fd", X_OK) != 0;
    if (!needs_name) {
        descriptor = open(directory_.c_str(), O_TMPFILE | flags, kNewMode);
        needs_name = descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOSYS);
    }
    if (needs_name) {
        temporary_ = temporary_name(path_);
        descriptor = open(temporary_.c_str(), O_CREAT | O_EXCL | flags, kNewMode);
    }
    if (descriptor < 0) {
        const int error = errno;
        temporary_.clear();
        return failed(error, fmt::format("making '{}' in '{}'", path_, directory_));
    }
    descriptor_ = dup(descriptor);
    auto file = adopt_descriptor(descriptor, path_, file_options(cache));
    if (!file) return pass(file);
    file_ = std::move(*file);
    is_new_ = true;
    return {};
}

/// Whoever may use the file that is replaced may use the new one.
Result<void> OutputFile::adopt_rights_of_old() {
    struct stat status{};
    if (fstat(old_->descriptor(), &status) != 0) {
        return failed(errno, fmt::format("stat of '{}'", path_));
    }
    // Giving a file away needs privileges; without them the new file is the user's own.
    if (fchown(descriptor_, status.st_uid, status.st_gid) != 0 && errno != EPERM) {
        return failed(errno, fmt::format("owner of the new '{}'", path_));
    }
    QED_CHECK(copy_attributes(old_->descriptor(), descriptor_, path_));
    if (fchmod(descriptor_, status.st_mode & 07777U) != 0 && errno != EPERM) {
        return failed(errno, fmt::format("mode of the new '{}'", path_));
    }
    return {};
}

Result<void> OutputFile::link_as(const std::string& name) {
    const std::string self = fmt::format("/proc/self/fd/{}", descriptor_);
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
    return failed(errno, fmt::format("naming the finished '{}'", name));
}

Result<void> OutputFile::commit(bool durable) {
    if (durable && fsync(descriptor_) != 0) {
        return failed(errno, fmt::format("writing '{}' to the disk", path_));
    }
    if (!is_new_) return {};
    if (temporary_.empty()) {
        const std::string name = old_ != nullptr ? temporary_name(path_) : path_;
        QED_CHECK(link_as(name));
        if (old_ != nullptr) temporary_ = name;
    }
    if (!temporary_.empty()) {
        if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
            return failed(errno, fmt::format("naming the finished '{}'", path_));
        }
        temporary_.clear();
    }
    if (!durable) return {};
    const int directory = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return failed(errno, fmt::format("opening folder '{}'", directory_));
    const int synced = fsync(directory);
    const int error = errno;
    close(directory);
    if (synced != 0 && error != EINVAL) {
        return failed(error, fmt::format("writing folder '{}' to the disk", directory_));
    }
    return {};
}

OutputFile::~OutputFile() {
    if (!temporary_.empty()) unlink(temporary_.c_str());
    if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace qed::cli
