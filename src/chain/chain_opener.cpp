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
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutex.hpp"
#include "chain/backing_name.hpp"
#include "chain/file_head.hpp"
#include "chain/layer.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/cache_budget.hpp"
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

    std::shared_ptr<Layer> find(const Key& key) {
        const ScopedLock lock(mutex_);
        const auto place = bases_.find(key);
        return place != bases_.end() ? place->second.lock() : nullptr;
    }
    void add(const Key& key, const std::shared_ptr<Layer>& base) {
        const ScopedLock lock(mutex_);
        std::erase_if(bases_, [](const auto& entry) { return entry.second.expired(); });
        bases_[key] = base;
    }

private:
    Mutex mutex_;
    std::map<Key, std::weak_ptr<Layer>> bases_ QED_GUARDED_BY(mutex_);
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

/// `name`, which a header in `folder` holds, relative to `start`; an absolute path if the file is
/// not below `start`. Looks at no path that only the header names: looking alone could mount or
/// connect something.
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
    ChainOpener(const FormatRegistry& formats, const OpenOptions& options)
        : formats_(formats), options_(options) {}

    Task<Result<std::shared_ptr<Layer>>> open_top(const std::string& path);
    Task<Result<std::shared_ptr<Layer>>> open_base(const std::string& image_path,
                                                   BackingReference backing, unsigned depth);

private:
    class Below;
    Result<void> check_name(const std::string& image_path, const std::string& name) const;
    Result<int> open_allowed(const std::string& image_path, const std::string& name) const;
    Task<Result<std::shared_ptr<Layer>>> open_layer(std::unique_ptr<BlockFile> file,
                                                    const std::string& path, bool is_raw,
                                                    unsigned depth);
    Result<void> remember(int descriptor, std::string_view name);
    OpenOptions base_options() const;

    const FormatRegistry& formats_;
    const OpenOptions& options_;
    std::vector<FileId> seen_;
};

/// The layer below the layer at `depth`, whose file is `path`.
class ChainOpener::Below final : public BackingOpener {
public:
    Below(ChainOpener& chain, const std::string& path, unsigned depth)
        : chain_(chain), path_(path), depth_(depth) {}

    // Not a coroutine: chains may be long, and each coroutine would use a part of the stack.
    Task<Result<std::shared_ptr<Layer>>> open(BackingReference backing) override {
        if (backing.name.empty() || !chain_.options_.open_backing) return none();
        const BackingFormat stated = chain_.options_.backing.format;
        // The user's format is for the first base, and the header comes first.
        if (depth_ == 0 && backing.format == BackingFormat::unstated) backing.format = stated;
        return chain_.open_base(path_, std::move(backing), depth_ + 1);
    }

private:
    static Task<Result<std::shared_ptr<Layer>>> none() { co_return nullptr; }

    ChainOpener& chain_;
    const std::string& path_;
    unsigned depth_;
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
    base.backing.format = BackingFormat::unstated;  // the user's format is for the first base
    return base;
}

Task<Result<std::shared_ptr<Layer>>> ChainOpener::open_top(const std::string& path) {
    if (options_.writable && options_.lock == LockMode::force_shared) {
        co_return fail(Errc::invalid_argument,
                       "an image that is opened with force_shared cannot be writable");
    }
    FileOptions file_options;
    file_options.writable = options_.writable;
    file_options.direct = options_.direct;
    file_options.sync = options_.sync;
    file_options.ignore_flush = options_.ignore_flush;
    file_options.mapped = options_.mapped;
    Result<std::unique_ptr<BlockFile>> file = open_file(path, file_options);
    if (!file) co_return pass(file);
    QED_CO_CHECK(
        take_lock(**file, options_.writable ? LockRole::writer : LockRole::reader, options_.lock));
    QED_CO_CHECK(remember((*file)->descriptor(), (*file)->name()));
    co_return co_await open_layer(std::move(*file), path, false, 0);
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

// The format of the top layer is probed, and so is that of a base that is not stated to be raw. Raw
// is never a guess: the guest chooses the first bytes of a raw disk, and could make them name any
// file.
Task<Result<std::shared_ptr<Layer>>> ChainOpener::open_layer(std::unique_ptr<BlockFile> file,
                                                             const std::string& path, bool is_raw,
                                                             unsigned depth) {
    Below below(*this, path, depth);
    const OpenOptions options = depth == 0 ? options_ : base_options();
    if (is_raw) {
        const FormatDriver* raw = formats_.find("raw");
        QED_ASSERT(raw != nullptr);
        co_return co_await raw->open(std::move(file), {}, below, options);
    }
    const Result<FileHead> head = co_await FileHead::read(*file);
    if (!head) co_return std::unexpected(head.error().clone());
    const FormatDriver* driver = formats_.recognise(head->bytes());
    co_return co_await driver->open(std::move(file), head->bytes(), below, options);
}

Task<Result<std::shared_ptr<Layer>>> ChainOpener::open_base(const std::string& image_path,
                                                            BackingReference backing,
                                                            unsigned depth) {
    const std::string name(without_file_prefix(backing.name));
    if (depth > options_.backing.depth_limit) {
        co_return fail(Errc::backing_refused,
                       fmt::format("{}: more than {} backing files below the image", image_path,
                                   options_.backing.depth_limit));
    }
    const Result<int> opened = open_allowed(image_path, name);
    if (!opened) co_return std::unexpected(opened.error().clone());
    Descriptor descriptor(*opened);
    const std::string path = joined(directory_of(image_path), name);
    QED_CO_CHECK(remember(descriptor.fd, path));
    const bool is_raw = backing.format == BackingFormat::raw;
    CacheBudget* budget =
        options_.budget != nullptr ? options_.budget : CacheBudget::process().get();
    const OpenBases::Key key{.file = seen_.back(),
                             .is_raw = is_raw,
                             .budget = budget,
                             .lock = options_.lock,
                             .mapped = options_.mapped};
    if (auto shared = open_bases().find(key)) co_return std::move(shared);

    FileOptions file_options;
    file_options.mapped = options_.mapped;
    Result<std::unique_ptr<BlockFile>> file =
        adopt_descriptor(descriptor.release(), path, file_options);
    if (!file) co_return pass(file);
    QED_CO_CHECK(take_lock(**file, LockRole::reader, options_.lock));
    Result<std::shared_ptr<Layer>> base =
        co_await open_layer(std::move(*file), path, is_raw, depth);
    if (!base && base.error().code() == Errc::not_qed) {
        co_return fail(Errc::backing_refused,
                       fmt::format("{}: the backing file '{}' is not a QED image, and the header "
                                   "does not say that it is raw; state its format (-F raw, or "
                                   "--backing-format raw) if it is",
                                   image_path, name));
    }
    if (base) open_bases().add(key, *base);
    co_return base;
}

}  // namespace

Task<Result<std::shared_ptr<Layer>>> open_chain(const FormatRegistry& formats, std::string path,
                                                OpenOptions options) {
    ChainOpener opener(formats, options);
    co_return co_await opener.open_top(path);
}

Task<Result<std::shared_ptr<Layer>>> open_backing(const FormatRegistry& formats,
                                                  std::string image_path, BackingReference backing,
                                                  OpenOptions options) {
    ChainOpener opener(formats, options);
    co_return co_await opener.open_base(image_path, std::move(backing), 1);
}

}  // namespace qed
