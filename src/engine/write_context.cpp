// SPDX-License-Identifier: Apache-2.0
#include "engine/write_context.hpp"

#include "base/assert.hpp"

namespace qed {

Task<Result<Mapping>> WriteContext::look_up(GuestOffset at, std::uint64_t length) const {
    Mapping found = cache.find(at, length);
    if (found.kind == Mapping::Kind::not_loaded) {
        Result<Mapping> loaded = co_await disk.load(at, length);
        if (!loaded) co_return pass(loaded);
        found = *loaded;
    }
    if (found.kind == Mapping::Kind::corrupt) co_return std::unexpected(disk.explain(at));
    QED_ASSERT(found.is_sound() && found.length > 0 && found.length <= length);
    co_return found;
}

}  // namespace qed
