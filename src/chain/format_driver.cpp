// SPDX-License-Identifier: Apache-2.0
#include "chain/format_driver.hpp"

#include <fmt/format.h>

namespace qed {

Task<Result<HeaderSummary>> FormatDriver::summarize(BlockFile&) const {
    co_return HeaderSummary{};
}

Result<void> FormatDriver::check_create(const CreateOptions&) const {
    return fail(Errc::unsupported, fmt::format("images of format {} cannot be created", name()));
}

Result<std::unique_ptr<SequentialWriter>> FormatDriver::stream_writer(BlockFile&,
                                                                      const CreateOptions&,
                                                                      const WriterOptions&) const {
    return fail(Errc::unsupported, fmt::format("images of format {} cannot be created", name()));
}

Task<Result<void>> FormatDriver::create(BlockFile&, CreateOptions options) const {
    co_return check_create(options);
}

Task<Result<CheckReport>> FormatDriver::check(BlockFile& file, CheckOptions) const {
    co_return fail(Errc::unsupported,
                   fmt::format("'{}' has format {}, which has no checks", file.name(), name()));
}

}  // namespace qed
