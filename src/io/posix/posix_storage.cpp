// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "base/unique_descriptor.hpp"
#include "io/posix/name_lookup.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/storage.hpp"

// Which files of this machine a header may make us open. Relative names start at the image's own
// directory. Unless everything is allowed, the kernel keeps the whole walk below the allowed
// directory, symbolic links included.

namespace qed {
namespace {

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string joined(const std::string& directory, const std::string& name) {
    if (name.starts_with('/') || directory == ".") return name;
    return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

Result<std::string> real_path(const std::string& path) {
    std::array<char, PATH_MAX> real{};
    if (::realpath(path.c_str(), real.data()) == nullptr) {
        return std::unexpected(Error::from_errno(errno, path));
    }
    return std::string(real.data());
}

/// `name`, which a header in `folder` holds, as seen from `start`; an absolute path when it is not
/// below. Looks at no path that only the header names: that alone could mount or connect something.
Result<std::string> path_from(const std::string& start, const std::string& folder,
                              std::string_view name) {
    const Result<std::string> real_start = real_path(start);
    if (!real_start) return std::unexpected(real_start.error().clone());
    std::string full(name);
    if (!name.starts_with('/')) {
        Result<std::string> real = real_path(folder);
        if (!real) return real;
        while (name.starts_with("../") || name.starts_with("./")) {
            if (name[1] == '.') *real = directory_of(*real);
            name.remove_prefix(name.find('/') + 1);
        }
        full = joined(*real, std::string(name));
    }
    for (const std::string& allowed : {*real_start, start}) {
        const std::string prefix = allowed.ends_with('/') ? allowed : allowed + "/";
        if (full.starts_with(prefix)) return full.substr(prefix.size());
    }
    return full;
}

Result<void> check_is_path(const std::string& image_path, const std::string& name) {
    const std::size_t colon = name.find(':');
    if (colon == std::string::npos || name.find('/') <= colon) return {};
    return fail(Errc::backing_refused,
                fmt::format("{}: the backing file name '{}' looks like a protocol or an option "
                            "string; only files are opened from a header (write a file of that "
                            "name as './{}')",
                            image_path, name, name));
}

class BackingFile {
public:
    BackingFile(const std::string& image_path, std::string name, const BackingPolicy& policy)
        : image_path_(image_path),
          name_(std::move(name)),
          policy_(policy),
          is_below_(policy.rule == BackingRule::below_directory && policy.directory != nullptr),
          start_(is_below_ ? policy.directory : directory_of(image_path)) {}

    Result<std::unique_ptr<BlockFile>> open(const FileOptions& options) const {
        QED_CHECK(check_is_path(image_path_, name_));
        const UniqueDescriptor directory(
            open_above_standard(AT_FDCWD, start_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
        if (!directory) {
            const int reason = errno;
            return std::unexpected(Error::from_errno(
                reason, fmt::format("{}: cannot open the directory '{}' for backing files: {}",
                                    image_path_, start_, strerrordesc_np(reason))));
        }
        std::string wanted = name_;
        // A name in a header never means a file of this process.
        std::uint64_t resolve = RESOLVE_NO_MAGICLINKS;
        if (policy_.rule != BackingRule::any) {
            resolve |= RESOLVE_BENEATH;
            if (is_below_ || name_.starts_with('/')) {
                Result<std::string> below = path_from(start_, directory_of(image_path_), name_);
                if (!below) return refused(std::move(below.error()));
                wanted = std::move(*below);
            }
        }
        const NameLookup lookup{
            .directory = directory.get(), .path = wanted.c_str(), .resolve = resolve};
        auto file = open_and_lock(lookup, joined(directory_of(image_path_), name_), options);
        if (!file && file.error().sys_errno() == EXDEV) {
            return fail(Errc::backing_refused,
                        fmt::format("{}: the backing file '{}' lies outside of the allowed "
                                    "directory '{}'; allow it with --backing=any or "
                                    "--backing=dir:PATH",
                                    image_path_, name_, start_));
        }
        if (!file) return refused(std::move(file.error()));
        return file;
    }

private:
    std::unexpected<Error> refused(Error reason) const {
        return std::unexpected(std::move(reason).with_context(
            fmt::format("{}: cannot open the backing file '{}'", image_path_, name_)));
    }

    const std::string& image_path_;
    const std::string name_;
    const BackingPolicy& policy_;
    const bool is_below_;
    const std::string start_;
};

class PosixStorage final : public StorageOpener {
public:
    Result<std::unique_ptr<BlockFile>> open(const std::string& name,
                                            const FileOptions& options) override {
        return open_file(name, options);
    }
    Result<std::unique_ptr<BlockFile>> open_backing(const std::string& image_name,
                                                    std::string_view backing_name,
                                                    const BackingPolicy& policy,
                                                    const FileOptions& options) override {
        return without_throwing([&] {
            return BackingFile(image_name, std::string(backing_name), policy).open(options);
        });
    }
};

}  // namespace

StorageOpener& posix_storage() noexcept {
    static PosixStorage storage;
    return storage;
}

}  // namespace qed
