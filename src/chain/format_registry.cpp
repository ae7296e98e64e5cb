// SPDX-License-Identifier: Apache-2.0
#include "chain/format_registry.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/assert.hpp"

namespace qed {

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

const FormatDriver* FormatRegistry::recognise(std::span<const std::byte> head) const {
    const ScopedLock lock(mutex_);
    QED_ASSERT(!drivers_.empty());
    const auto found = std::ranges::find_if(
        drivers_, [head](const FormatDriver* driver) { return driver->probe(head); });
    return found != drivers_.end() ? *found : drivers_.front();
}

}  // namespace qed
