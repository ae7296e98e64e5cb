// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/units.hpp"

namespace qed {

/// The state of the first bytes of a guest range in one layer of a disk. Every format answers in
/// these terms, and all code above the formats (reading, maps, conversion, block status) is written
/// over them.
struct Mapping {
    enum class Kind : std::uint8_t {
        not_loaded,   ///< memory does not know: the layer has to load metadata first
        unallocated,  ///< read the layer below; zeroes where there is none
        zero,         ///< reads as zeroes, whatever the layers below hold
        data,         ///< stored as it is at `offset`
        encoded,      ///< stored in another form: only the layer itself can read it
        corrupt,      ///< the layer's metadata breaks the format's rules here
    };
    /// The files that a layer may have.
    enum class Storage : std::uint8_t { image_file, external_data_file };

    Kind kind = Kind::not_loaded;
    bool writable_in_place = false;  ///< only data: a write there changes no metadata
    Storage storage = Storage::image_file;
    FileOffset offset{};       ///< only data: in the file that `storage` names
    std::uint64_t length = 0;  ///< bytes for which this holds; not_loaded: 0

    static constexpr Mapping in_place(FileOffset offset, std::uint64_t length) noexcept {
        return {.kind = Kind::data, .writable_in_place = true, .offset = offset, .length = length};
    }
    static constexpr Mapping without_data(Kind kind, std::uint64_t length) noexcept {
        return {.kind = kind, .length = length};
    }

    /// Reads return stored bytes.
    constexpr bool is_stored() const noexcept {
        return kind == Kind::data || kind == Kind::encoded;
    }
    /// Memory knows the state of the range, and the metadata keeps the rules of the format.
    constexpr bool is_sound() const noexcept {
        return kind != Kind::not_loaded && kind != Kind::corrupt;
    }
    friend bool operator==(const Mapping&, const Mapping&) = default;
};
static_assert(sizeof(Mapping) == 24);

}  // namespace qed
