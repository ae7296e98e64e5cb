// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "support/temp_dir.hpp"

namespace qed::test {

/// A tmpfs of a given size that only this process sees. Needs the right to mount, possibly from a
/// user namespace; `refusal()` states the reason if there is none.
class SmallTmpfs {
public:
    explicit SmallTmpfs(std::size_t bytes) { mount(bytes); }
    SmallTmpfs(const SmallTmpfs&) = delete;
    SmallTmpfs& operator=(const SmallTmpfs&) = delete;
    ~SmallTmpfs() {
        if (is_mounted_) ::umount2(dir_.path().c_str(), MNT_DETACH);
    }

    const std::string& refusal() const { return refusal_; }
    std::string file(const std::string& name) const { return dir_.file(name); }

private:
    void mount(std::size_t bytes) {
        const std::string ids = std::to_string(::getuid());
        if (::unshare(CLONE_NEWNS) != 0) {
            if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return refuse("unshare");
            put("/proc/self/uid_map", "0 " + ids + " 1");
        }
        if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
            return refuse("make the mounts private");
        }
        const std::string options = "size=" + std::to_string(bytes);
        if (::mount("none", dir_.path().c_str(), "tmpfs", 0, options.c_str()) != 0) {
            return refuse("mount a tmpfs");
        }
        is_mounted_ = true;
    }
    void refuse(const std::string& action) {
        refusal_ = "cannot " + action + ": " + std::strerror(errno);
    }
    static void put(const char* path, const std::string& text) {
        const int file = ::open(path, O_WRONLY | O_CLOEXEC);
        if (file < 0) return;
        [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
        ::close(file);
    }

    TempDir dir_;
    bool is_mounted_ = false;
    std::string refusal_;
};

}  // namespace qed::test
