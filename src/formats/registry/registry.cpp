// SPDX-License-Identifier: Apache-2.0
#include "formats/registry/registry.hpp"

#include "formats/qcow2/qcow2_driver.hpp"
#include "formats/qed/qed_driver.hpp"
#include "formats/raw/raw_driver.hpp"

namespace qed {

FormatRegistry& format_registry() {
    struct BuiltIn {
        RawDriver raw;
        QedDriver qed;
        Qcow2Driver qcow2;
        FormatRegistry formats;
        BuiltIn() {
            formats.add(qed);
            formats.add(qcow2);
            formats.add(raw);
        }
    };
    static BuiltIn built_in;
    return built_in.formats;
}

}  // namespace qed
