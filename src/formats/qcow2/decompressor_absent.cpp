// SPDX-License-Identifier: Apache-2.0
// Replaces Decompressor in a libqed that is built without ISA-L and zstd (QED_WITH_DECOMPRESSION).
#include "formats/qcow2/decompressor.hpp"

namespace qed {

Result<std::unique_ptr<Decompressor>> Decompressor::make(Qcow2Compression) {
    return fail(Errc::unsupported,
                "this libqed was built without decompression (QED_WITH_DECOMPRESSION): it cannot "
                "read compressed clusters");
}

}  // namespace qed
