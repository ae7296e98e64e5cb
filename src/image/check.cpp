// SPDX-License-Identifier: Apache-2.0
#include "qed/check.hpp"

#include "chain/file_head.hpp"
#include "chain/format_driver.hpp"
#include "formats/registry/registry.hpp"

namespace qed {
namespace {

Task<Result<const FormatDriver*>> driver_of(BlockFile& file, const char* format) {
    if (format != nullptr) co_return format_registry().require(format);
    const Result<FileHead> head = co_await FileHead::read(file);
    if (!head) co_return std::unexpected(head.error().clone());
    co_return format_registry().recognise(head->bytes());
}

}  // namespace

Task<Result<CheckReport>> check_file(BlockFile& file, CheckOptions options) {
    const Result<const FormatDriver*> driver = co_await driver_of(file, options.format);
    if (!driver) co_return std::unexpected(driver.error().clone());
    co_return co_await (*driver)->check(file, options);
}

}  // namespace qed
