// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "chain/backing_name.hpp"
#include "chain/chain_opener.hpp"
#include "formats/registry/registry.hpp"
#include "qed/backing.hpp"
#include "qed/image.hpp"
#include "qed/output_file.hpp"

// Creates an image file in any format: it appears under its name only when it is complete.

namespace qed {

Task<Result<void>> Image::format(BlockFile& file, CreateOptions options) {
    const Result<const FormatDriver*> driver = format_registry().require(options.format);
    if (!driver) co_return std::unexpected(driver.error().clone());
    co_return co_await (*driver)->create(file, options);
}

namespace {

Result<void> check_backing_options(const CreateOptions& options) {
    if (options.backing_format != BackingFormat::unstated) return {};
    return fail(Errc::invalid_argument,
                fmt::format("the format of the backing file '{}' must be stated: raw, qed or qcow2",
                            options.backing_name));
}

/// The backing file, which must not change until the image exists.
/// \returns null if the caller does not want it opened
Result<std::shared_ptr<Layer>> check_backing(const std::string& path,
                                             const CreateOptions& options) {
    QED_CHECK(check_backing_options(options));
    QED_CHECK(check_new_backing(path, resolve_backing_name(path, options.backing_name),
                                options.backing_format, options.depth_limit,
                                options.check_backing));
    if (!options.check_backing) return nullptr;
    OpenOptions open;
    open.backing.rule = BackingRule::any;  // the caller has named it
    open.backing.depth_limit = options.depth_limit;
    open.lock = options.lock;
    BackingReference backing{.name = options.backing_name, .format = options.backing_format};
    return sync_wait(open_backing(format_registry(), path, std::move(backing), open));
}

Result<void> create_image(const std::string& path, const CreateOptions& options) {
    CreateOptions complete = options;
    std::string name;
    std::shared_ptr<Layer> base;
    if (options.backing_name != nullptr) {
        name = without_file_prefix(options.backing_name);
        complete.backing_name = name.c_str();
        auto checked = check_backing(path, complete);
        if (!checked) return pass(checked);
        base = std::move(*checked);
        // An overlay for which no size was stated gets the size of its backing file.
        if (complete.image_bytes == 0 && base != nullptr) complete.image_bytes = base->size();
    }
    // No other process can see the file before publish(), which flushes it.
    auto output = OutputFile::create(path, {.ignore_flush = true,
                                            .exclusive = options.exclusive,
                                            .lock = options.lock != LockMode::none});
    if (!output) return pass(output);
    QED_CHECK(sync_wait(Image::format((*output)->file(), complete)));
    return (*output)->publish(Durability::content_and_name);
}

}  // namespace

Result<void> Image::create(const std::string& path, const CreateOptions& options) {
    return without_throwing([&] { return create_image(path, options); });
}

}  // namespace qed
