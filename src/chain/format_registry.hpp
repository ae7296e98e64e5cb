// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "base/mutex.hpp"
#include "chain/format_driver.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"
#include "qed/task.hpp"

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
    /// The format whose images start like `file`; null: none.
    /// \cost one read of 4 KiB
    Task<Result<const FormatDriver*>> probe(BlockFile& file) const;

private:
    const FormatDriver* probe_head(std::span<const std::byte> head) const;

    mutable Mutex mutex_;
    std::vector<const FormatDriver*> drivers_ QED_GUARDED_BY(mutex_);
};

}  // namespace qed
