// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "chain/chain_opener.hpp"
#include "formats/registry/registry.hpp"
#include "qed/file_lock.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"

// Making an image, whatever its format.

namespace qed {

Task<Result<void>> Image::format(BlockFile& file, CreateOptions options) {
    const Result<const FormatDriver*> driver = format_registry().require(options.format);
    if (!driver) co_return std::unexpected(driver.error().clone());
    co_return co_await (*driver)->create(file, options);
}

namespace {

Result<std::shared_ptr<Layer>> open_base(const std::string& path, const CreateOptions& options) {
    OpenOptions open;
    open.backing.rule = BackingRule::any;  // the user has named it
    BackingReference backing{.name = options.backing_name, .format = options.backing_format};
    return sync_wait(open_backing(format_registry(), path, std::move(backing), open));
}

Result<void> check_backing_options(const CreateOptions& options) {
    if (options.backing_name == nullptr) return {};
    if (options.backing_format != BackingFormat::unstated) return {};
    return fail(Errc::invalid_argument,
                fmt::format("the format of the backing file '{}' must be stated: raw or qed",
                            options.backing_name));
}

Result<void> create_image(const std::string& path, const CreateOptions& options) {
    QED_CHECK(check_backing_options(options));
    CreateOptions complete = options;
    // Held until the end: its locks keep us from making anew what the image is to lie on.
    std::shared_ptr<Layer> base;
    if (options.backing_name != nullptr && options.check_backing) {
        auto opened = open_base(path, options);
        if (!opened) return pass(opened);
        base = std::move(*opened);
        // The size of an overlay that was not told its own is that of what it lies on.
        if (complete.image_bytes == 0) complete.image_bytes = base->size();
    }
    const Result<const FormatDriver*> driver = format_registry().require(options.format);
    if (!driver) return std::unexpected(driver.error().clone());
    QED_CHECK((*driver)->check_create(complete));  // before an existing file is touched
    FileOptions file_options;
    file_options.writable = true;
    file_options.create = true;
    file_options.exclusive = options.exclusive;
    Result<std::unique_ptr<BlockFile>> file = qed::open_file(path, file_options);
    if (!file) return pass(file);
    auto locked = FileLock::acquire((*file)->descriptor(), LockRole::creator, path);
    if (!locked && base != nullptr && locked.error().code() == Errc::locked) {
        return std::unexpected(std::move(locked.error())
                                   .with_context(fmt::format("'{}' may lie on '{}' itself",
                                                             options.backing_name, path)));
    }
    if (!locked) return pass(locked);
    return sync_wait((*driver)->create(**file, complete));
}

}  // namespace

Result<void> Image::create(const std::string& path, const CreateOptions& options) {
    return without_throwing([&] { return create_image(path, options); });
}

}  // namespace qed
