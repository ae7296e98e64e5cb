// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>

namespace qed::test {

/// While it lives, those of descriptors 0, 1 and 2 whose bit is set in `closed` are closed. Report
/// nothing meanwhile: the test's own messages would be lost or land in a file.
class ClosedDescriptors {
public:
    static constexpr unsigned kChoices = 8;  ///< values of `closed`; 0: none

    explicit ClosedDescriptors(unsigned closed) {
        for (int number = 0; number < kCount; ++number) {
            saved_[index(number)] = ::fcntl(number, F_DUPFD_CLOEXEC, kCount);
            if ((closed & (1U << static_cast<unsigned>(number))) != 0) ::close(number);
        }
    }
    ClosedDescriptors(const ClosedDescriptors&) = delete;
    ClosedDescriptors& operator=(const ClosedDescriptors&) = delete;
    ~ClosedDescriptors() {
        for (int number = 0; number < kCount; ++number) {
            ::dup2(saved_[index(number)], number);
            ::close(saved_[index(number)]);
        }
    }

    /// The bits of those that are closed now.
    static unsigned now() {
        unsigned closed = 0;
        for (int number = 0; number < kCount; ++number) {
            if (::fcntl(number, F_GETFD) < 0) closed |= 1U << static_cast<unsigned>(number);
        }
        return closed;
    }

private:
    static constexpr int kCount = 3;
    static std::size_t index(int number) { return static_cast<std::size_t>(number); }

    std::array<int, kCount> saved_{};
};

}  // namespace qed::test
