// SPDX-License-Identifier: Apache-2.0
#include "support/qed_builder.hpp"

#include <cstring>
#include <set>

namespace qed::test {

QedBuilder::QedBuilder(const Geometry& geometry, std::uint64_t image_bytes, std::uint64_t features)
    : geometry_(geometry) {
    header_.cluster_bytes = static_cast<std::uint32_t>(geometry.cluster_bytes());
    header_.table_clusters = geometry.table_clusters();
    header_.features = features;
    header_.l1_table_offset = {geometry.cluster_bytes()};
    header_.image_bytes = image_bytes;
    set_header(header_);
    file.resize(geometry.cluster_bytes() + geometry.table_bytes());
}

QedBuilder QedBuilder::small(std::uint64_t image_bytes) {
    return QedBuilder(test::geometry(4096, 1), image_bytes);
}

std::uint64_t QedBuilder::append(std::uint64_t clusters) {
    const std::uint64_t position = this->clusters();
    file.resize(offset(position + clusters));
    return position;
}

std::uint64_t QedBuilder::add_table(std::uint64_t l1_index) {
    const std::uint64_t position = append(geometry_.table_clusters());
    set_l1(l1_index, offset(position));
    return position;
}

std::uint64_t QedBuilder::add_data(std::uint64_t l1_index, std::uint64_t l2_index) {
    const std::uint64_t position = append(1);
    // Enough words to distinguish clusters, and few enough for large ones.
    for (std::uint64_t word = 0; word < 8; ++word)
        file.store_u64(offset(position) + word * 512, 0xda7a'0000'0000'0000 + position * 8 + word);
    set_l2(l1_index, l2_index, offset(position));
    return position;
}

std::uint64_t QedBuilder::add_leak(std::uint64_t count) {
    const std::uint64_t position = append(count);
    for (std::uint64_t i = 0; i < count; ++i)
        file.fill(offset(position + i), 100, std::byte{0xee});
    return position;
}

void QedBuilder::set_l1(std::uint64_t l1_index, std::uint64_t entry) {
    file.store_u64(header_.l1_table_offset.value + l1_index * 8, entry);
}

void QedBuilder::set_l2(std::uint64_t l1_index, std::uint64_t l2_index, std::uint64_t entry) {
    file.store_u64(l1(l1_index) + l2_index * 8, entry);
}

std::uint64_t QedBuilder::l1(std::uint64_t l1_index) const {
    return file.load_u64(header_.l1_table_offset.value + l1_index * 8);
}

std::uint64_t QedBuilder::l2(std::uint64_t l1_index, std::uint64_t l2_index) const {
    return file.load_u64(l1(l1_index) + l2_index * 8);
}

void QedBuilder::set_header(const Header& header) {
    header_ = header;
    file.store(0, encode_header(header));
}

namespace {

/// A naive check with plain loops: one set of clusters for each kind of owner.
class NaiveCheck {
public:
    explicit NaiveCheck(const MemoryFile& file) : file_(file) {
        const std::vector<std::byte> raw = file.load(0, 64);
        std::memcpy(&cluster_, raw.data() + 4, 4);
        std::memcpy(&table_clusters_, raw.data() + 8, 4);
        std::memcpy(&header_clusters_, raw.data() + 12, 4);
        std::memcpy(&l1_, raw.data() + 40, 8);
        whole_clusters_ = file.bytes() / cluster_;
    }

    NaiveReport run() {
        for (std::uint64_t c = 0; c < header_clusters_; ++c)
            fixed_.insert(c);
        for (std::uint64_t c = 0; c < table_clusters_; ++c)
            fixed_.insert(l1_ / cluster_ + c);
        find_tables();
        for (const auto& [index, table] : tables_)
            walk_table(index, table);
        std::set<std::uint64_t> named = fixed_;
        named.insert(table_set_.begin(), table_set_.end());
        named.insert(data_.begin(), data_.end());
        for (std::uint64_t c = 0; c < whole_clusters_; ++c) {
            if (named.contains(c)) continue;
            (file_.is_hole(c * cluster_, cluster_) ? report_.free : report_.leaked).push_back(c);
        }
        return std::move(report_);
    }

private:
    std::uint64_t entries() const { return std::uint64_t{table_clusters_} * cluster_ / 8; }

    bool is_valid_cluster_offset(std::uint64_t entry, std::uint64_t clusters) const {
        if (entry % cluster_ != 0) return false;
        for (std::uint64_t c = entry / cluster_; c < entry / cluster_ + clusters; ++c) {
            if (c >= whole_clusters_ || fixed_.contains(c)) return false;
        }
        return true;
    }

    void find_tables() {
        for (std::uint64_t index = 0; index < entries(); ++index) {
            const std::uint64_t entry = file_.load_u64(l1_ + index * 8);
            if (entry == 0) continue;
            for (std::uint64_t c = 0; c < table_clusters_; ++c)
                claimed_.insert(entry / cluster_ + c);
            bool good = is_valid_cluster_offset(entry, table_clusters_);
            for (std::uint64_t c = 0; good && c < table_clusters_; ++c)
                good = !table_set_.contains(entry / cluster_ + c);
            if (!good) {
                ++report_.bad_l1;
                continue;
            }
            tables_[index] = entry;
            for (std::uint64_t c = 0; c < table_clusters_; ++c)
                table_set_.insert(entry / cluster_ + c);
        }
    }

    void walk_table(std::uint64_t index, std::uint64_t table) {
        std::uint64_t before = 0;
        for (std::uint64_t i = 0; i < entries(); ++i) {
            const std::uint64_t entry = file_.load_u64(table + i * 8);
            const std::uint64_t guest = index * entries() + i;
            if (entry == 0) continue;
            if (entry == 1) {
                ++report_.zero;
                report_.content[guest] = {};
                continue;
            }
            if (!is_valid_cluster_offset(entry, 1)) {
                ++report_.bad_l2;
                continue;
            }
            ++report_.data;
            if (before != 0 && before + cluster_ != entry) ++report_.fragmented;
            before = entry;
            const bool is_over_table = table_set_.contains(entry / cluster_);
            if (claimed_.contains(entry / cluster_)) report_.over_tables.push_back(guest);
            if (is_over_table || !data_.insert(entry / cluster_).second) ++report_.repeated;
            report_.content[guest] = file_.load(entry, cluster_);
        }
    }

    const MemoryFile& file_;
    std::uint32_t cluster_ = 0;
    std::uint32_t table_clusters_ = 0;
    std::uint32_t header_clusters_ = 0;
    std::uint64_t l1_ = 0;
    std::uint64_t whole_clusters_ = 0;
    std::set<std::uint64_t> fixed_;      // header and L1 table
    std::set<std::uint64_t> table_set_;  // L2 tables
    std::set<std::uint64_t> claimed_;    // by any L1 entry, good or bad
    std::set<std::uint64_t> data_;
    std::map<std::uint64_t, std::uint64_t> tables_;
    NaiveReport report_;
};

}  // namespace

NaiveReport naive_check(const MemoryFile& file) {
    return NaiveCheck(file).run();
}

}  // namespace qed::test
