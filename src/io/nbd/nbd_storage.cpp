// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "qed/nbd.hpp"
#include "qed/storage.hpp"

namespace qed {
namespace {

class FileAndNbdStorage final : public StorageOpener {
public:
    Result<std::unique_ptr<BlockFile>> open(const std::string& name,
                                            const FileOptions& options) override {
        if (!is_nbd_uri(name)) return posix_storage().open(name, options);
        return without_throwing([&]() -> Result<std::unique_ptr<BlockFile>> {
            if (options.direct) {
                return fail(Errc::unsupported,
                            fmt::format("'{}': the server decides about caching, so no cache mode "
                                        "can be chosen",
                                        name));
            }
            NbdOptions how;
            how.writable = options.writable;
            return open_nbd(name, how);
        });
    }
    Result<std::unique_ptr<BlockFile>> open_backing(const std::string& image_name,
                                                    std::string_view backing_name,
                                                    const BackingPolicy& policy,
                                                    const FileOptions& options) override {
        if (!is_nbd_uri(image_name)) {
            return posix_storage().open_backing(image_name, backing_name, policy, options);
        }
        return without_throwing([&]() -> Result<std::unique_ptr<BlockFile>> {
            return fail(Errc::backing_refused,
                        fmt::format("'{}': a QED image on an NBD server cannot have a backing file",
                                    image_name));
        });
    }
};

}  // namespace

StorageOpener& file_and_nbd_storage() noexcept {
    static FileAndNbdStorage storage;
    return storage;
}

}  // namespace qed
