// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_layer.hpp"

#include <fmt/format.h>

#include "base/math.hpp"

namespace qed {
namespace {

std::vector<LayerProperty> properties_of(const Qcow2Header& header) {
    constexpr std::uint64_t kLazyRefcounts = 1;
    std::vector<LayerProperty> all;
    all.push_back({"compat", std::string(header.version == 2 ? "0.10" : "1.1")});
    all.push_back({"compression-type",
                   std::string(header.compression == Qcow2Compression::zstd ? "zstd" : "zlib")});
    if (header.version != 2) {
        all.push_back({"lazy-refcounts", (header.compatible_features & kLazyRefcounts) != 0});
    }
    all.push_back({"refcount-bits", std::uint64_t{1} << header.refcount_order});
    if (header.version != 2) {
        all.push_back({"corrupt", header.has(Qcow2Incompatible::corrupt)});
        all.push_back({"extended-l2", header.has(Qcow2Incompatible::extended_l2)});
    }
    return all;
}

LayerTraits traits_of(const Qcow2Header& header) {
    return {.format = Qcow2Layer::kFormat,
            // A size that is no multiple of a sector is rounded down, as QEMU does it.
            .bytes = round_down(header.image_bytes, kSectorBytes),
            .cluster_bytes = header.cluster_bytes(),
            .backing = header.backing(),
            .is_writable = false,
            .is_dirty = header.has(Qcow2Incompatible::dirty),
            .properties = properties_of(header),
            .has_file_holes = false};
}

Mapping read_only(Mapping found) noexcept {
    found.writable_in_place = false;
    return found;
}

}  // namespace

Qcow2Layer::Qcow2Layer(std::unique_ptr<BlockFile> file, Qcow2Header header,
                       std::unique_ptr<Qcow2Tables> tables, std::shared_ptr<Layer> backing)
    : Layer(std::move(file), std::move(backing), traits_of(header)),
      header_(std::move(header)),
      tables_(std::move(tables)),
      compressed_(*file_, header_, tables_->cache(), tables_->decoder()) {
    const SliceAddressing& addressing = tables_->cache().addressing();
    start_index(addressing.cluster_bits() + addressing.entry_bits());
}

Mapping Qcow2Layer::find(GuestOffset at, std::uint64_t length) noexcept {
    return read_only(tables_->cache().find(at, length));
}

std::size_t Qcow2Layer::find_many(GuestOffset at, std::uint64_t length,
                                  std::span<Mapping> found) noexcept {
    const std::size_t count = tables_->cache().find_runs(at, length, found);
    for (Mapping& mapping : found.first(count))
        mapping = read_only(mapping);
    return count;
}

Task<Result<Mapping>> Qcow2Layer::load(GuestOffset at, std::uint64_t length) {
    Result<Mapping> found = co_await tables_->cache().load(at, length);
    if (!found) co_return std::unexpected(std::move(found.error()).with_context(file_->name()));
    co_return read_only(*found);
}

Error Qcow2Layer::explain(GuestOffset at) {
    const std::uint64_t l1_index = at.value / header_.table_span();
    const Entry table = tables_->cache().l1(l1_index);
    std::string where = fmt::format("L1 entry {} (at {:#x}) names no L2 table inside the file",
                                    l1_index, header_.l1_offset + l1_index * 8);
    if (is_data_entry(table)) {
        const std::uint64_t index = at.value % header_.table_span() >> header_.cluster_bits;
        where = fmt::format("entry {} of the L2 table at {:#x} breaks the rules of the format",
                            index, table);
    }
    return {Errc::corrupt_metadata,
            fmt::format("{}: guest offset {:#x} cannot be read: {}; 'qemu-img check' lists what is "
                        "damaged",
                        file_->name(), at.value, where)};
}

void Qcow2Layer::add_to(Stats& stats) const {
    stats.cache = tables_->cache().stats();
}

}  // namespace qed
