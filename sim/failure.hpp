// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace qed::sim {

/// A broken promise. `check` names the promise as docs/testing.md lists it.
class Failure : public std::runtime_error {
public:
    Failure(std::string check, const std::string& message)
        : std::runtime_error(check + ": " + message), check_(std::move(check)) {}
    const std::string& check() const noexcept { return check_; }

private:
    std::string check_;
};

}  // namespace qed::sim
