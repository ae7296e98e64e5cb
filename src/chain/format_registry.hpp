// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/mutex.hpp"
#include "chain/format_driver.hpp"
#include "qed/error.hpp"

namespace qed {

/// The formats that can be opened.
///
/// Thread-safety: any member on any thread. A driver stays registered while images of its format
/// are opened or created.
class FormatRegistry {
public:
    void add(const FormatDriver& driver);
    void remove(const FormatDriver& driver);
    /// Null: no format has this name.
    const FormatDriver* find(std::string_view name) const;
    /// find() for a name that a user gave; an unknown name is an error.
    /// \errors invalid_argument  the message lists the registered formats
    Result<const FormatDriver*> require(std::string_view name) const;
    /// The format whose images start with `head`. If there is none: the format that was added
    /// first, whose error states what is missing. Not null, because there are built-in formats.
    const FormatDriver* recognise(std::span<const std::byte> head) const;

private:
    mutable Mutex mutex_;
    std::vector<const FormatDriver*> drivers_ QED_GUARDED_BY(mutex_);
};

}  // namespace qed
