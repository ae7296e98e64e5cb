// SPDX-License-Identifier: Apache-2.0
#include "sim/qed_parser.hpp"

#include <bit>

#include <fmt/format.h>

#include "sim/failure.hpp"

namespace qed::sim {

namespace {

constexpr std::uint32_t kMagic = 0x00444551;
constexpr std::uint64_t kBackingFile = 1;
constexpr std::uint64_t kNeedCheck = 2;

class Parser {
public:
    Parser(const FileContent& file, ParsedImage& image) : file_(file), image_(image) {}

    void run() {
        if (!parse_header()) return;
        image_.is_usable = true;
        owners_.assign(file_.size() / image_.cluster_bytes, nullptr);
        claim(0, header_clusters_, "the header");
        if (!claim(l1_offset_, table_clusters_, "the L1 table")) return;
        for (std::uint64_t index = 0; index < image_.table_entries; ++index) {
            const std::uint64_t table = file_.load64(l1_offset_ + index * 8);
            if (table == 0) continue;
            const std::uint64_t span = image_.table_entries * image_.cluster_bytes;
            if (index * span >= image_.image_bytes) image_.has_unreachable_table = true;
            if (claim(table, table_clusters_, "an L2 table")) parse_table(index, table);
        }
        count_clusters();
    }

private:
    void count_clusters() {
        for (std::uint64_t index = 0; index < owners_.size(); ++index) {
            const std::uint64_t end = (index + 1) * image_.cluster_bytes;
            if (owners_[index] != nullptr) {
                ++image_.used_clusters;
                image_.used_end = end;
            } else if (file_.next_data(end - image_.cluster_bytes) >= end) {
                ++image_.free_clusters;
            } else {
                ++image_.leaked_clusters;
            }
        }
    }

    bool parse_header() {
        const std::uint64_t cluster_bytes = file_.load32(4);
        table_clusters_ = file_.load32(8);
        header_clusters_ = file_.load32(12);
        const std::uint64_t features = file_.load64(16);
        l1_offset_ = file_.load64(40);
        image_.image_bytes = file_.load64(48);
        const bool is_sane = file_.load32(0) == kMagic && std::has_single_bit(cluster_bytes) &&
                             cluster_bytes >= 4096 && cluster_bytes <= (1U << 26) &&
                             std::has_single_bit(table_clusters_) && table_clusters_ <= 16 &&
                             header_clusters_ != 0;
        if (!is_sane) {
            image_.faults.emplace_back("the header makes no sense");
            return false;
        }
        image_.cluster_bytes = cluster_bytes;
        image_.table_entries = table_clusters_ * cluster_bytes / 8;
        image_.has_backing = (features & kBackingFile) != 0;
        image_.needs_check = (features & kNeedCheck) != 0;
        return true;
    }

    /// Records `owner` for the `clusters` clusters starting at `offset`. Returns false if they are
    /// not aligned, not inside the file, or have an owner already.
    bool claim(std::uint64_t offset, std::uint64_t clusters, const char* owner) {
        const std::uint64_t bytes = clusters * image_.cluster_bytes;
        if (offset % image_.cluster_bytes != 0) {
            image_.faults.push_back(fmt::format("{} at {:#x} is not aligned", owner, offset));
            return false;
        }
        if (offset + bytes > file_.size()) {
            image_.faults.push_back(fmt::format("{} at {:#x} is not inside the file of {:#x} bytes",
                                                owner, offset, file_.size()));
            return false;
        }
        bool is_free = true;
        for (std::uint64_t index = 0; index < clusters; ++index) {
            const char*& slot = owners_[offset / image_.cluster_bytes + index];
            if (slot != nullptr) {
                image_.faults.push_back(fmt::format("cluster {:#x} is {} and {}",
                                                    offset + index * image_.cluster_bytes, slot,
                                                    owner));
                is_free = false;
            }
            slot = owner;
        }
        return is_free;
    }

    void parse_table(std::uint64_t l1_index, std::uint64_t table) {
        for (std::uint64_t index = 0; index < image_.table_entries; ++index) {
            const std::uint64_t at = table + index * 8;
            if (index % 512 == 0 && file_.next_data(at) >= at + 4096) {
                index += 511;  // a page without any entry
                continue;
            }
            const std::uint64_t entry = file_.load64(at);
            if (entry == 0) continue;
            image_.entries[l1_index * image_.table_entries + index] = entry;
            if (entry != 1) claim(entry, 1, "a data cluster");
        }
    }

    const FileContent& file_;
    ParsedImage& image_;
    std::uint64_t table_clusters_ = 0;
    std::uint64_t header_clusters_ = 0;
    std::uint64_t l1_offset_ = 0;
    std::vector<const char*> owners_;  // by cluster of the file
};

}  // namespace

ParsedImage parse_qed(const FileContent& file) {
    ParsedImage image;
    Parser(file, image).run();
    return image;
}

void expect_space_given_back(const FileContent& file) {
    const ParsedImage image = parse_qed(file);
    if (image.leaked_clusters == 0 && file.size() <= image.used_end) return;
    throw Failure(
        "closing gives free space back",
        fmt::format("{} clusters without an owner occupy space; the file has {:#x} bytes, "
                    "its last named cluster ends at {:#x}",
                    image.leaked_clusters, file.size(), image.used_end));
}

void expect_packed(const FileContent& file) {
    const ParsedImage image = parse_qed(file);
    const std::uint64_t bytes = image.used_clusters * image.cluster_bytes;
    if (image.has_unreachable_table || file.size() <= bytes) return;
    throw Failure("shrinking leaves no free space",
                  fmt::format("the file has {:#x} bytes, its named clusters {:#x}; the last one "
                              "ends at {:#x}",
                              file.size(), bytes, image.used_end));
}

}  // namespace qed::sim
