// SPDX-License-Identifier: Apache-2.0
#include "cli/reports/map_picture.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "cli/disks/disk.hpp"
#include "cli/reports/table_dump.hpp"

namespace qed::cli {
namespace {

constexpr std::uint64_t kCells = 2048;

enum GuestShade : std::size_t { guest_data, guest_backing, guest_zero, guest_nothing };
enum FileShade : std::size_t { file_data, file_tables, file_header, file_unused };

constexpr Shades kGuestShades = {{{"data", "data in this image"},
                                  {"backing", "data in a backing file"},
                                  {"zero", "zero, and stored as such"},
                                  {"nothing", "nothing stored, reads as zero"}}};
constexpr Shades kFileShades = {{{"data", "data"},
                                 {"tables", "L2 tables"},
                                 {"header", "header and L1 table"},
                                 {"unused", "unused or leaked"}}};

SpaceMap empty_space(const Shades& shades, std::uint64_t bytes, std::uint64_t cluster_bytes) {
    SpaceMap space{.shades = shades, .bytes = bytes, .cell_bytes = cluster_bytes, .cells = {}};
    while ((bytes - 1) / space.cell_bytes >= kCells && bytes > 0)
        space.cell_bytes *= 2;
    space.cells.resize(bytes == 0 ? 0 : (bytes - 1) / space.cell_bytes + 1);
    return space;
}

void paint(SpaceMap& space, std::uint64_t begin, std::uint64_t length, std::size_t shade) {
    const std::uint64_t end = std::min(begin + length, space.bytes);
    while (begin < end) {
        const std::uint64_t cell = begin / space.cell_bytes;
        const std::uint64_t stop = std::min(end, (cell + 1) * space.cell_bytes);
        space.cells[cell][shade] += stop - begin;
        begin = stop;
    }
}

/// Paints the space that no other shade covers. Clusters that are named twice count once.
void paint_rest(SpaceMap& space, std::size_t shade) {
    for (std::uint64_t i = 0; i < space.cells.size(); ++i) {
        const std::uint64_t whole = std::min(space.cell_bytes, space.bytes - i * space.cell_bytes);
        std::uint64_t covered = 0;
        for (std::uint64_t& bytes : space.cells[i]) {
            bytes = std::min(bytes, whole - covered);
            covered += bytes;
        }
        space.cells[i][shade] += whole - covered;
    }
}

Result<void> draw_guest(Image& image, MapPicture& picture) {
    const std::uint64_t cluster = image.geometry().cluster_bytes();
    picture.guest = empty_space(kGuestShades, image.size(), cluster);
    for (std::uint64_t at = 0; at < image.size();) {
        auto extent = image.map_blocking(GuestOffset{at}, image.size() - at);
        if (!extent) return pass(extent);
        std::size_t shade = guest_nothing;
        if (extent->data) {
            shade = extent->depth == 0 ? guest_data : guest_backing;
        } else if (extent->present) {
            shade = guest_zero;
        }
        paint(picture.guest, at, extent->length, shade);
        at += extent->length;
    }
    return {};
}

/// The index of the part that holds byte `at`, if `whole` is divided into `parts`.
std::size_t part_of(std::uint64_t at, std::uint64_t whole, std::size_t parts) {
    const auto share = static_cast<double>(at) / static_cast<double>(whole);
    return std::min(static_cast<std::size_t>(share * static_cast<double>(parts)), parts - 1);
}

/// Marks the position of a run of guest data in the file.
void mark_order(MapPicture& picture, std::uint64_t guest, std::uint64_t offset,
                std::uint64_t length) {
    const std::uint64_t cell = picture.guest.bytes / OrderMap::kColumns + 1;
    for (std::uint64_t done = 0; done < length && guest + done < picture.guest.bytes;) {
        const std::uint64_t step = std::min(length - done, cell - (guest + done) % cell);
        const std::size_t column = part_of(guest + done, picture.guest.bytes, OrderMap::kColumns);
        const std::size_t first = part_of(offset + done, picture.file.bytes, OrderMap::kRows);
        const std::size_t last =
            part_of(offset + done + step - 1, picture.file.bytes, OrderMap::kRows);
        for (std::size_t row = first; row <= last; ++row)
            picture.order.cells[row * OrderMap::kColumns + column] = true;
        done += step;
    }
}

/// \param table_begin  the guest address of the first entry of the run's table
void take_run(MapPicture& picture, const EntryRun& run, const Geometry& geometry,
              std::uint64_t table_begin, std::uint64_t& file_end) {
    if (run.kind == EntryRun::Kind::zero) picture.zero_clusters += run.count;
    if (run.kind == EntryRun::Kind::bad) picture.bad_entries += run.count;
    if (run.kind != EntryRun::Kind::data) return;
    paint(picture.file, run.offset, run.count * geometry.cluster_bytes(), file_data);
    mark_order(picture, table_begin + run.first * geometry.cluster_bytes(), run.offset,
               run.count * geometry.cluster_bytes());
    picture.data_clusters += run.count;
    if (run.offset != file_end) ++picture.runs;
    file_end = run.offset + run.count * geometry.cluster_bytes();
    picture.longest_run = std::max(picture.longest_run, run.count);
}

Result<void> draw_file(Image& image, MapPicture& picture) {
    const Geometry& geometry = image.geometry();
    auto bytes = image.file().size();
    if (!bytes) return pass(bytes);
    picture.file = empty_space(kFileShades, *bytes, geometry.cluster_bytes());
    paint(picture.file, 0, picture.header.header_bytes(), file_header);
    paint(picture.file, picture.header.l1_table_offset.value, geometry.table_bytes(), file_header);
    TableDump tables(image.file(), picture.header, geometry, *bytes);
    auto entries = tables.l1_entries();
    if (!entries) return pass(entries);
    std::uint64_t file_end = 0;
    for (const TableDump::L1Entry& entry : *entries) {
        if (!entry.usable) {
            ++picture.bad_entries;
            continue;
        }
        paint(picture.file, entry.offset, geometry.table_bytes(), file_tables);
        const std::uint64_t begin =
            entry.index * geometry.table_entries() * geometry.cluster_bytes();
        QED_CHECK(tables.l2_runs(entry.offset, [&](const EntryRun& run) {
            take_run(picture, run, geometry, begin, file_end);
        }));
    }
    paint_rest(picture.file, file_unused);
    return {};
}

}  // namespace

std::array<std::uint64_t, kShades> SpaceMap::totals() const {
    std::array<std::uint64_t, kShades> sums{};
    for (const auto& cell : cells) {
        for (std::size_t i = 0; i < kShades; ++i)
            sums[i] += cell[i];
    }
    return sums;
}

Result<MapPicture> draw_map(Image& image) {
    if (image.info().format != "qed") {
        return fail(Errc::unsupported, fmt::format("'{}' has format {}; pictures show QED images",
                                                   image.file_name(), image.info().format));
    }
    MapPicture picture;
    picture.header = image.header();
    for (Image* layer = &image; layer != nullptr; layer = layer->backing()) {
        auto size = layer->file().size();
        if (!size) return pass(size);
        auto allocated = layer->file().allocated_bytes();
        if (!allocated) return pass(allocated);
        picture.layers.push_back({std::string(layer->file_name()),
                                  std::string(layer->info().format), layer->size(), *size,
                                  *allocated});
    }
    QED_CHECK(draw_guest(image, picture));
    QED_CHECK(draw_file(image, picture));
    return picture;
}

}  // namespace qed::cli
