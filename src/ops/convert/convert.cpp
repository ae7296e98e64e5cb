// SPDX-License-Identifier: Apache-2.0
#include "qed/convert.hpp"

#include <limits>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "formats/registry/registry.hpp"
#include "ops/convert/convert_run.hpp"
#include "ops/convert/convert_source.hpp"
#include "ops/convert/image_writer.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kMaxSparseBytes = 16U << 20U;

constexpr auto kMaxBytes = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

Result<void> check_sources(std::span<Image* const> sources) {
    std::uint64_t bytes = 0;
    for (const Image* source : sources) {
        if (source->size() > kMaxBytes - bytes) {
            return fail(Errc::invalid_argument,
                        fmt::format("the sources together have more than {} bytes", kMaxBytes));
        }
        bytes += source->size();
    }
    return {};
}

Result<void> check_options(const ConvertOptions& options) {
    if (options.sparse_bytes % kSectorBytes == 0 && options.sparse_bytes <= kMaxSparseBytes) {
        return {};
    }
    return fail(Errc::invalid_argument,
                fmt::format("a sparse size of {}: expected a multiple of {} up to {}, or 0",
                            options.sparse_bytes, kSectorBytes, kMaxSparseBytes));
}

Result<void> check_room(std::uint64_t source_bytes, std::uint64_t target_bytes) {
    if (source_bytes <= target_bytes) return {};
    return fail(Errc::invalid_argument,
                fmt::format("the target has {} bytes, the source {}: make the target larger",
                            target_bytes, source_bytes));
}

/// With the writer of the format that `image` names.
Result<ConvertReport> write_new(const ConvertSource& source, BlockFile& target,
                                const CreateOptions& image, const ConvertOptions& options) {
    const auto driver = format_registry().require(image.format);
    if (!driver) return std::unexpected(driver.error().clone());
    const auto into = (*driver)->stream_writer(target, image,
                                               {.allocates_zeroes = options.sparse_bytes == 0,
                                                .file_is_zero = options.target_is_zero,
                                                .zero_unit = options.sparse_bytes});
    if (!into) return std::unexpected(into.error().clone());
    return run_convert(source, **into, options);
}

}  // namespace

Result<ConvertReport> convert(std::span<Image* const> sources, Image& target,
                              const ConvertOptions& options) {
    return without_throwing([&]() -> Result<ConvertReport> {
        QED_CHECK(check_options(options));
        QED_CHECK(check_sources(sources));
        const ConvertSource source(sources, options);
        QED_CHECK(check_room(source.size(), target.size()));
        const auto into = make_image_writer(target, options);
        return run_convert(source, *into, options);
    });
}

Result<ConvertReport> convert_to_raw(std::span<Image* const> sources, BlockFile& target,
                                     const ConvertOptions& options) {
    return without_throwing([&]() -> Result<ConvertReport> {
        QED_CHECK(check_options(options));
        QED_CHECK(check_sources(sources));
        const ConvertSource source(sources, options);
        return write_new(source, target, {.format = "raw", .image_bytes = source.size()}, options);
    });
}

Result<ConvertReport> convert_to_image(std::span<Image* const> sources, BlockFile& target,
                                       const CreateOptions& image, const ConvertOptions& options) {
    return without_throwing([&]() -> Result<ConvertReport> {
        QED_CHECK(check_options(options));
        QED_CHECK(check_sources(sources));
        if (image.preallocation != Preallocation::off) {
            return fail(Errc::unsupported,
                        "preallocation needs an existing image: create it, then convert into it");
        }
        const ConvertSource source(sources, options);
        CreateOptions whole = image;
        if (whole.image_bytes == 0) whole.image_bytes = source.size();
        QED_CHECK(check_room(source.size(), whole.image_bytes));
        return write_new(source, target, whole, options);
    });
}

}  // namespace qed
