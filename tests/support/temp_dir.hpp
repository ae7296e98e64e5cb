// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace qed::test {

/// A new, empty directory that the destructor removes. It is on the file system of the build,
/// because /tmp may be a tmpfs, which has no rules for direct I/O and no real storage.
class TempDir {
public:
    TempDir() : TempDir(default_parent()) {}
    explicit TempDir(const std::filesystem::path& parent) {
        std::string pattern = (parent / "qed-test-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("cannot make a directory in " + parent.string());
        }
        path_ = pattern;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    static std::filesystem::path default_parent() {
        const char* build = std::getenv("QED_BUILD_DIR");
        return build != nullptr ? std::filesystem::path(build)
                                : std::filesystem::temp_directory_path();
    }
    std::filesystem::path path_;
};

}  // namespace qed::test
