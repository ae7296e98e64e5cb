// SPDX-License-Identifier: Apache-2.0
#include "chain/format_registry.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"

namespace qed {
namespace {

constexpr std::size_t kProbeBytes = 4096;

}  // namespace

void FormatRegistry::add(const FormatDriver& driver) {
    const ScopedLock lock(mutex_);
    drivers_.push_back(&driver);
}

void FormatRegistry::remove(const FormatDriver& driver) {
    const ScopedLock lock(mutex_);
    std::erase(drivers_, &driver);
}

const FormatDriver* FormatRegistry::find(std::string_view name) const {
    const ScopedLock lock(mutex_);
    const auto found = std::ranges::find(drivers_, name, &FormatDriver::name);
    return found != drivers_.end() ? *found : nullptr;
}

Result<const FormatDriver*> FormatRegistry::require(std::string_view name) const {
    if (const FormatDriver* driver = find(name)) return driver;
    std::string known;
    const ScopedLock lock(mutex_);
    for (const FormatDriver* driver : drivers_)
        known += fmt::format("{}{}", known.empty() ? "" : ", ", driver->name());
    return fail(Errc::invalid_argument,
                fmt::format("'{}' is no format of disk images: expected one of {}", name, known));
}

Task<Result<const FormatDriver*>> FormatRegistry::probe(BlockFile& file) const {
    const Result<std::uint64_t> bytes = file.size();
    if (!bytes) co_return std::unexpected(bytes.error().clone());
    Result<AlignedBuffer> head = AlignedBuffer::create(kProbeBytes, kProbeBytes);
    if (!head) co_return pass(head);
    QED_CO_CHECK(co_await file.read(FileOffset{0}, head->span()));
    // Bytes past the end of a short file read as zeroes, and zeroes are no magic number.
    co_return probe_head(head->span().first(std::min<std::uint64_t>(*bytes, head->size())));
}

const FormatDriver* FormatRegistry::probe_head(std::span<const std::byte> head) const {
    const ScopedLock lock(mutex_);
    const auto found = std::ranges::find_if(
        drivers_, [head](const FormatDriver* driver) { return driver->probe(head); });
    return found != drivers_.end() ? *found : nullptr;
}

}  // namespace qed
