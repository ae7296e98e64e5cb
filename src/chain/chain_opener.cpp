// SPDX-License-Identifier: Apache-2.0
#include "chain/chain_opener.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "base/mutex.hpp"
#include "base/no_throw.hpp"
#include "chain/layer.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/qed_layer.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/file_lock.hpp"
#include "qed/files.hpp"

namespace qed {
namespace {

struct FileId {
    dev_t device = 0;
    ino_t inode = 0;
    friend auto operator<=>(const FileId&, const FileId&) = default;
};

/// Backing files that are open somewhere in the process.
class OpenBases {
public:
    struct Key {
        FileId file;
        bool is_raw = false;
        CacheBudget* budget = nullptr;
        LockMode lock = LockMode::normal;
        bool mapped = false;
        friend auto operator<=>(const Key&, const Key&) = default;
    };

    std::shared_ptr<Image> find(const Key& key) {
        const ScopedLock lock(mutex_);
        const auto place = bases_.find(key);
        return place != bases_.end() ? place->second.lock() : nullptr;
    }
    void add(const Key& key, const std::shared_ptr<Image>& base) {
        const ScopedLock lock(mutex_);
        std::erase_if(bases_, [](const auto& entry) { return entry.second.expired(); });
        bases_[key] = base;
    }

private:
    Mutex mutex_;
    std::map<Key, std::weak_ptr<Image>> bases_ QED_GUARDED_BY(mutex_);
};

OpenBases& open_bases() {
    static OpenBases bases;
    return bases;
}

struct Descriptor {
    int fd = -1;
    explicit Descriptor(int opened) : fd(opened) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
    int release() { return std::exchange(fd, -1); }
};

std::string directory_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string joined(const std::string& directory, const std::string& name) {
    if (name.starts_with('/') || directory == ".") return name;
    return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

std::unexpected<Error> open_failure(int reason, const std::string& what) {
    return std::unexpected(
        Error::from_errno(reason, fmt::format("{}: {}", what, strerrordesc_np(reason))));
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

/// The layers of one chain while it is being opened, from the top down.
class ChainOpener {
public:
    explicit ChainOpener(const OpenOptions& options) : options_(options) {}

    Result<std::unique_ptr<Image>> open_top(const std::string& path);
    Result<std::shared_ptr<Image>> open_base(const std::string& image_path, const std::string& name,
                                             BackingFormat format, unsigned depth);

private:
    Result<void> check_name(const std::string& image_path, const std::string& name) const;
    Result<int> open_allowed(const std::string& image_path, const std::string& name) const;
    Result<std::shared_ptr<Image>> base_of(const std::string& path, const HeaderInfo& info,
                                           unsigned depth);
    Result<void> remember(int descriptor, std::string_view name);
    OpenOptions base_options() const;

    const OpenOptions& options_;
    std::vector<FileId> seen_;
};

Result<FileId> file_id(int descriptor, std::string_view name) {
    struct stat status{};
    if (::fstat(descriptor, &status) != 0) {
        return std::unexpected(Error::from_errno(errno, fmt::format("{}: fstat", name)));
    }
    return FileId{.device = status.st_dev, .inode = status.st_ino};
}

Result<void> take_lock(const BlockFile& file, LockRole role, LockMode mode) {
    if (mode == LockMode::none) return {};
    if (mode == LockMode::force_shared) role = LockRole::shared_reader;
    return FileLock::acquire(file.descriptor(), role, file.name());
}

Result<void> ChainOpener::remember(int descriptor, std::string_view name) {
    const Result<FileId> id = file_id(descriptor, name);
    if (!id) return std::unexpected(id.error().clone());
    if (std::find(seen_.begin(), seen_.end(), *id) != seen_.end()) {
        return fail(Errc::backing_refused,
                    fmt::format("{}: the chain of backing files leads back to this file", name));
    }
    seen_.push_back(*id);
    return {};
}

OpenOptions ChainOpener::base_options() const {
    OpenOptions base = options_;
    base.writable = false;
    base.direct = false;
    base.backing.format = BackingFormat::unstated;  // what was stated is for the first base
    return base;
}

Result<std::shared_ptr<Image>> ChainOpener::base_of(const std::string& path, const HeaderInfo& info,
                                                    unsigned depth) {
    if (!info.header.has_backing() || !options_.open_backing) return nullptr;
    BackingFormat format = depth == 0 ? options_.backing.format : BackingFormat::unstated;
    if (info.header.backing_is_raw()) format = BackingFormat::raw;
    return open_base(path, info.backing_name, format, depth + 1);
}

Result<std::unique_ptr<Image>> ChainOpener::open_top(const std::string& path) {
    if (options_.writable && options_.lock == LockMode::force_shared) {
        return fail(Errc::invalid_argument,
                    "an image that is opened with force_shared cannot be writable");
    }
    FileOptions file_options;
    file_options.writable = options_.writable;
    file_options.direct = options_.direct;
    file_options.sync = options_.sync;
    file_options.ignore_flush = options_.ignore_flush;
    file_options.mapped = options_.mapped;
    Result<std::unique_ptr<BlockFile>> file = open_file(path, file_options);
    if (!file) return pass(file);
    QED_CHECK(
        take_lock(**file, options_.writable ? LockRole::writer : LockRole::reader, options_.lock));
    QED_CHECK(remember((*file)->descriptor(), (*file)->name()));
    Result<HeaderInfo> info = sync_wait(read_header(**file));
    if (!info) return pass(info);
    Result<std::shared_ptr<Image>> base = base_of(path, *info, 0);
    if (!base) return pass(base);
    Result<std::unique_ptr<Layer>> layer =
        sync_wait(QedLayer::open(std::move(*file), std::move(*info), std::move(*base), options_));
    if (!layer) return pass(layer);
    return Layer::wrap(std::move(*layer));
}

Result<void> ChainOpener::check_name(const std::string& image_path, const std::string& name) const {
    const std::size_t colon = name.find(':');
    if (colon != std::string::npos && name.find('/') > colon) {
        return fail(
            Errc::backing_refused,
            fmt::format("{}: the backing file name '{}' looks like a protocol or an option "
                        "string; only files are opened from a header (write a file of that name "
                        "as './{}')",
                        image_path, name, name));
    }
    if (options_.backing.rule == BackingRule::none) {
        return fail(Errc::backing_refused,
                    fmt::format("{}: has the backing file '{}', and opening one was not allowed",
                                image_path, name));
    }
    return {};
}

// Relative names start at the image's own directory. Unless everything is allowed, the kernel
// keeps the whole walk below the allowed directory, symbolic links included.
Result<int> ChainOpener::open_allowed(const std::string& image_path,
                                      const std::string& name) const {
    QED_CHECK(check_name(image_path, name));
    const BackingRule rule = options_.backing.rule;
    const bool is_below =
        rule == BackingRule::below_directory && options_.backing.directory != nullptr;
    const std::string start = is_below ? options_.backing.directory : directory_of(image_path);
    const auto refuse_failure = [&](int reason) {
        return open_failure(reason,
                            fmt::format("{}: cannot open the backing file '{}'", image_path, name));
    };
    const Descriptor directory(
        open_above_standard(AT_FDCWD, start.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    if (directory.fd < 0) {
        return open_failure(errno, fmt::format("{}: cannot open the directory '{}' for backing "
                                               "files",
                                               image_path, start));
    }
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_NO_MAGICLINKS;  // a name in a header never means a file of this process
    std::string wanted = name;
    if (rule != BackingRule::any) {
        how.resolve |= RESOLVE_BENEATH;
        if (is_below || name.starts_with('/')) {
            Result<std::string> below = path_from(start, directory_of(image_path), name);
            if (!below) return refuse_failure(below.error().sys_errno());
            wanted = std::move(*below);
        }
    }
    const int opened = open_above_standard(directory.fd, wanted.c_str(), how);
    if (opened >= 0) return opened;
    if (errno != EXDEV) return refuse_failure(errno);
    return fail(Errc::backing_refused,
                fmt::format("{}: the backing file '{}' lies outside of the allowed directory '{}'; "
                            "allow it with --backing=any or --backing=dir:PATH",
                            image_path, name, start));
}

Result<std::shared_ptr<Image>> ChainOpener::open_base(const std::string& image_path,
                                                      const std::string& name, BackingFormat format,
                                                      unsigned depth) {
    if (depth > options_.backing.depth_limit) {
        return fail(Errc::backing_refused,
                    fmt::format("{}: more than {} backing files below the image", image_path,
                                options_.backing.depth_limit));
    }
    const Result<int> opened = open_allowed(image_path, name);
    if (!opened) return std::unexpected(opened.error().clone());
    Descriptor descriptor(*opened);
    const std::string path = joined(directory_of(image_path), name);
    QED_CHECK(remember(descriptor.fd, path));
    const bool is_raw = format == BackingFormat::raw;
    CacheBudget* budget =
        options_.budget != nullptr ? options_.budget : CacheBudget::process().get();
    const OpenBases::Key key{.file = seen_.back(),
                             .is_raw = is_raw,
                             .budget = budget,
                             .lock = options_.lock,
                             .mapped = options_.mapped};
    if (auto shared = open_bases().find(key)) return shared;

    FileOptions file_options;
    file_options.mapped = options_.mapped;
    Result<std::unique_ptr<BlockFile>> file =
        adopt_descriptor(descriptor.release(), path, file_options);
    if (!file) return pass(file);
    QED_CHECK(take_lock(**file, LockRole::reader, options_.lock));
    std::shared_ptr<Image> base;
    if (is_raw) {
        Result<std::unique_ptr<Image>> raw = Image::open_raw(std::move(*file));
        if (!raw) return pass(raw);
        base = std::move(*raw);
    } else {
        Result<HeaderInfo> info = sync_wait(read_header(**file));
        if (!info && info.error().code() == Errc::not_qed) {
            return fail(Errc::backing_refused,
                        fmt::format("{}: the backing file '{}' is not a QED image, and the header "
                                    "does not say that it is raw; state its format (-F raw, or "
                                    "--backing-format raw) if it is",
                                    image_path, name));
        }
        if (!info) return pass(info);
        Result<std::shared_ptr<Image>> next = base_of(path, *info, depth);
        if (!next) return pass(next);
        Result<std::unique_ptr<Layer>> layer = sync_wait(
            QedLayer::open(std::move(*file), std::move(*info), std::move(*next), base_options()));
        if (!layer) return pass(layer);
        base = Layer::wrap(std::move(*layer));
    }
    open_bases().add(key, base);
    return base;
}

}  // namespace

Result<std::unique_ptr<Image>> open_chain(const std::string& path, const OpenOptions& options) {
    return ChainOpener(options).open_top(path);
}

Result<std::shared_ptr<Image>> open_backing(const std::string& image_path, const std::string& name,
                                            BackingFormat format, const OpenOptions& options) {
    return ChainOpener(options).open_base(image_path, name, format, 1);
}

Result<std::unique_ptr<Image>> Image::open(const std::string& path, const OpenOptions& options) {
    return without_throwing([&] { return open_chain(path, options); });
}

}  // namespace qed
