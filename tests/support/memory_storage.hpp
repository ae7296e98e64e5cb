// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "qed/storage.hpp"
#include "support/forwarding_file.hpp"
#include "support/memory_file.hpp"

namespace qed::test {

/// Files in memory that are opened by name, as a storage that is neither a file system nor NBD.
class MemoryStorage final : public StorageOpener {
public:
    /// A new file, or the one of this name.
    MemoryFile& file(const std::string& name) {
        auto& file = files_[name];
        if (file == nullptr) file = std::make_unique<MemoryFile>();
        return *file;
    }
    /// How many files were opened so far.
    unsigned opened() const { return opened_; }

    Result<std::unique_ptr<BlockFile>> open(const std::string& name,
                                            const FileOptions& options) override {
        const auto found = files_.find(name);
        if (found == files_.end()) {
            return std::unexpected(Error::from_errno(ENOENT, name + ": not in memory"));
        }
        ++opened_;
        return std::make_unique<Opened>(*found->second, name, options.writable);
    }
    Result<std::unique_ptr<BlockFile>> open_backing(const std::string&,
                                                    std::string_view backing_name,
                                                    const BackingPolicy&,
                                                    const FileOptions& options) override {
        return open(std::string(backing_name), options);
    }

private:
    class Opened final : public ForwardingFile {
    public:
        Opened(MemoryFile& file, std::string name, bool writable)
            : ForwardingFile(file), name_(std::move(name)), writable_(writable) {}
        bool is_read_only() const noexcept override { return !writable_; }
        std::string_view name() const noexcept override { return name_; }
        std::optional<FileIdentity> identity() const noexcept override {
            return FileIdentity{.object = reinterpret_cast<std::uintptr_t>(&file())};
        }

    private:
        std::string name_;
        bool writable_;
    };

    std::map<std::string, std::unique_ptr<MemoryFile>> files_;
    unsigned opened_ = 0;
};

}  // namespace qed::test
