// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "support/temp_dir.hpp"

namespace qed::test {

/// A block device over a sparse file. Needs root; `refusal()` states the reason if there is none.
class LoopDevice {
public:
    LoopDevice(std::uint64_t bytes, std::uint32_t block) {
        const std::string backing = dir_.file("device");
        const int file = ::open(backing.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) {
            refuse("make " + backing);
        } else {
            attach(file, block);
        }
        if (file >= 0) ::close(file);
    }
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    ~LoopDevice() {
        if (device_ < 0) return;
        ::ioctl(device_, LOOP_CLR_FD, 0);
        ::close(device_);
    }

    const std::string& refusal() const { return refusal_; }
    const std::string& path() const { return path_; }
    /// Truncates the file under the device to zero: data outside memory is no longer readable.
    void lose_storage() const {
        if (::truncate(dir_.file("device").c_str(), 0) != 0) throw std::runtime_error("truncate");
    }

private:
    void attach(int file, std::uint32_t block) {
        const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        if (control < 0) return refuse("open /dev/loop-control");
        // Another process may take the free device first: retry.
        for (int attempt = 0; attempt < 20 && device_ < 0; ++attempt) {
            const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
            if (number < 0) break;
            path_ = "/dev/loop" + std::to_string(number);
            device_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
            if (device_ < 0) break;
            loop_config config{};
            config.fd = static_cast<std::uint32_t>(file);
            config.block_size = block;
            if (::ioctl(device_, LOOP_CONFIGURE, &config) == 0) break;
            const int failure = errno;
            ::close(device_);
            device_ = -1;
            errno = failure;
            if (failure != EBUSY) break;
        }
        if (device_ < 0) refuse("set up a loop device");
        ::close(control);
    }
    void refuse(const std::string& action) {
        refusal_ = "cannot " + action + ": " + std::strerror(errno);
    }

    TempDir dir_;
    int device_ = -1;
    std::string path_;
    std::string refusal_;
};

}  // namespace qed::test
