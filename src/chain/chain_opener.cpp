// SPDX-License-Identifier: Apache-2.0
#include "chain/chain_opener.hpp"

#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutex.hpp"
#include "chain/backing_name.hpp"
#include "chain/file_head.hpp"
#include "chain/layer.hpp"
#include "qed/cache_budget.hpp"
#include "qed/storage.hpp"

namespace qed {
namespace {

/// Backing files that are open somewhere in the process.
class OpenBases {
public:
    struct Key {
        StorageOpener* storage = nullptr;
        FileIdentity file;
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

/// The layers of one chain while it is being opened, from the top down.
class ChainOpener {
public:
    ChainOpener(const FormatRegistry& formats, const OpenOptions& options)
        : formats_(formats),
          options_(options),
          storage_(options.storage != nullptr ? *options.storage : posix_storage()) {}

    Task<Result<std::shared_ptr<Layer>>> open_top(const std::string& path);
    Task<Result<std::shared_ptr<Layer>>> open_base(const std::string& image_path,
                                                   BackingReference backing, unsigned depth);

private:
    class Below;
    Result<std::unique_ptr<BlockFile>> open_allowed(const std::string& image_name,
                                                    std::string_view name, unsigned depth,
                                                    const FileOptions& options);
    Result<bool> may_share(Layer& base, unsigned depth);
    Task<Result<std::shared_ptr<Layer>>> open_layer(std::unique_ptr<BlockFile> file,
                                                    const std::string& path, BackingFormat format,
                                                    unsigned depth);
    Result<void> remember(const BlockFile& file);
    OpenOptions base_options() const;

    const FormatRegistry& formats_;
    const OpenOptions& options_;
    StorageOpener& storage_;
    std::vector<FileIdentity> seen_;
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
        if (backing.format == BackingFormat::unstated && backing.must_be_stated) {
            return refuse(path_, std::move(backing.name));
        }
        return chain_.open_base(path_, std::move(backing), depth_ + 1);
    }

private:
    static Task<Result<std::shared_ptr<Layer>>> none() { co_return nullptr; }
    static Task<Result<std::shared_ptr<Layer>>> refuse(std::string path, std::string name) {
        co_return fail(Errc::backing_refused,
                       fmt::format("{0}: the header names the backing file '{1}', but not its "
                                   "format; state it with --backing-format, or in the header: "
                                   "qemu-img rebase -u -b '{1}' -F FORMAT '{0}'",
                                   path, printable(name)));
    }

    ChainOpener& chain_;
    const std::string& path_;
    unsigned depth_;
};

Result<void> ChainOpener::remember(const BlockFile& file) {
    const std::optional<FileIdentity> identity = file.identity();
    if (!identity) return {};
    if (std::find(seen_.begin(), seen_.end(), *identity) != seen_.end()) {
        return fail(
            Errc::backing_refused,
            fmt::format("{}: the chain of backing files leads back to this file", file.name()));
    }
    seen_.push_back(*identity);
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
    file_options.lock = lock_role(options_.lock, options_.writable);
    Result<std::unique_ptr<BlockFile>> file = storage_.open(path, file_options);
    if (!file) co_return pass(file);
    QED_CO_CHECK(remember(**file));
    co_return co_await open_layer(std::move(*file), path, BackingFormat::unstated, 0);
}

Result<std::unique_ptr<BlockFile>> ChainOpener::open_allowed(const std::string& image_name,
                                                             std::string_view name, unsigned depth,
                                                             const FileOptions& options) {
    if (depth > options_.backing.depth_limit) {
        return fail(Errc::backing_refused,
                    fmt::format("{}: more than {} backing files below the image", image_name,
                                options_.backing.depth_limit));
    }
    if (options_.backing.rule == BackingRule::none) {
        return fail(Errc::backing_refused,
                    fmt::format("{}: has the backing file '{}', and opening one was not allowed",
                                image_name, name));
    }
    auto file = storage_.open_backing(image_name, name, options_.backing, options);
    if (file) QED_CHECK(remember(**file));
    return file;
}

// The opener of a shared base had a policy of its own, so each file below has to be allowed again.
// Returns false where the names lead to other files by now.
Result<bool> ChainOpener::may_share(Layer& base, unsigned depth) {
    const std::size_t seen = seen_.size();
    for (Layer* layer = &base; layer->backing() != nullptr; layer = layer->backing().get()) {
        const std::string name = layer->info().backing.name;
        const auto file = open_allowed(std::string(layer->file().name()), without_file_prefix(name),
                                       ++depth, FileOptions{});
        if (!file) return std::unexpected(file.error().clone());
        if ((*file)->identity() != layer->backing()->file().identity()) {
            seen_.resize(seen);
            return false;
        }
    }
    return true;
}

// The format of the top layer is probed, and so is that of a base that is not stated to be raw. Raw
// is never a guess: the guest chooses the first bytes of a raw disk, and could make them name any
// file.
Task<Result<std::shared_ptr<Layer>>> ChainOpener::open_layer(std::unique_ptr<BlockFile> file,
                                                             const std::string& path,
                                                             BackingFormat format, unsigned depth) {
    Below below(*this, path, depth);
    const OpenOptions options = depth == 0 ? options_ : base_options();
    if (format == BackingFormat::raw) {
        const FormatDriver* raw = formats_.find("raw");
        QED_ASSERT(raw != nullptr);
        co_return co_await raw->open(std::move(file), {}, below, options);
    }
    const Result<FileHead> head = co_await FileHead::read(*file);
    if (!head) co_return std::unexpected(head.error().clone());
    const FormatDriver* driver = formats_.recognise(head->bytes());
    if (format == BackingFormat::qcow2) {
        const FormatDriver* stated = formats_.find("qcow2");
        QED_ASSERT(stated != nullptr);
        if (stated != driver && driver->probe(head->bytes())) {
            co_return fail(Errc::backing_refused,
                           fmt::format("{}: expected an image of format {}, as was stated; found "
                                       "format {}",
                                       path, stated->name(), driver->name()));
        }
        driver = stated;
    }
    co_return co_await driver->open(std::move(file), head->bytes(), below, options);
}

Task<Result<std::shared_ptr<Layer>>> ChainOpener::open_base(const std::string& image_path,
                                                            BackingReference backing,
                                                            unsigned depth) {
    const std::string name(without_file_prefix(backing.name));
    FileOptions file_options;  // not mapped yet: a shared base has a mapping
    file_options.lock = lock_role(options_.lock, false);
    auto file = open_allowed(image_path, name, depth, file_options);
    if (!file) co_return pass(file);
    CacheBudget* budget =
        options_.budget != nullptr ? options_.budget : CacheBudget::process().get();
    std::optional<FileIdentity> identity = (*file)->identity();
    OpenBases::Key key{.storage = &storage_,
                       .file = identity.value_or(FileIdentity{}),
                       .is_raw = backing.format == BackingFormat::raw,
                       .budget = budget,
                       .lock = options_.lock,
                       .mapped = options_.mapped};
    if (auto shared = identity ? open_bases().find(key) : nullptr) {
        const Result<bool> allowed = may_share(*shared, depth);
        if (!allowed) co_return std::unexpected(allowed.error().clone());
        if (*allowed) co_return std::move(shared);
    }
    if (options_.mapped) {
        if (identity) seen_.pop_back();
        file_options.mapped = true;
        file = open_allowed(image_path, name, depth, file_options);
        if (!file) co_return pass(file);
        identity = (*file)->identity();
        key.file = identity.value_or(FileIdentity{});
    }
    const std::string path((*file)->name());
    Result<std::shared_ptr<Layer>> base =
        co_await open_layer(std::move(*file), path, backing.format, depth);
    if (!base && base.error().code() == Errc::not_qed) {
        co_return fail(Errc::backing_refused,
                       fmt::format("{}: the backing file '{}' is not a QED image, and the header "
                                   "does not say that it is raw; state its format (-F raw, or "
                                   "--backing-format raw) if it is",
                                   image_path, name));
    }
    if (base && identity) open_bases().add(key, *base);
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
