// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/endian.hpp"
#include "chain/format_driver.hpp"
#include "formats/registry/registry.hpp"

// A second format, to see that the library needs nothing but a driver and a layer for one:
//
//     0     "toyblock", disk bytes, length of the backing file's name, the name
//     4096  one word for each block of 64 KiB: 0 look below, 1 zeroes, 2 + 256 * b all bytes are b,
//           3 damaged, otherwise where the block is in the file
//
// Words are read when they are asked for, so that the path of a miss is taken as well.

namespace qed::test {

inline constexpr std::uint64_t kToyBlock = 65536;
inline constexpr std::uint64_t kToyTable = 4096;
inline constexpr std::string_view kToyMagic = "toyblock";

class ToyLayer final : public Layer {
public:
    ToyLayer(std::unique_ptr<BlockFile> file, std::shared_ptr<Layer> backing, LayerTraits traits)
        : Layer(std::move(file), std::move(backing), std::move(traits)),
          words_((size() + kToyBlock - 1) / kToyBlock) {
        for (auto& word : words_)
            word.store(kUnknown, std::memory_order_relaxed);
    }

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        const std::uint64_t inside = at.value % kToyBlock;
        const std::uint64_t word = words_[at.value / kToyBlock].load(std::memory_order_acquire);
        length = std::min(length, kToyBlock - inside);
        if (word == kUnknown) return {};
        if (word == 0) return Mapping::without_data(Mapping::Kind::unallocated, length);
        if (word == 1) return Mapping::without_data(Mapping::Kind::zero, length);
        if (word == 3) return Mapping::without_data(Mapping::Kind::corrupt, length);
        if ((word & 0xff) == 2) return Mapping::without_data(Mapping::Kind::encoded, length);
        Mapping data = Mapping::in_place(FileOffset{word + inside}, length);
        data.writable_in_place = false;  // the format is read-only
        return data;
    }
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override {
        const std::uint64_t block = at.value / kToyBlock;
        std::array<std::byte, 8> raw{};
        QED_CO_CHECK(co_await file_->read(FileOffset{kToyTable + block * 8}, raw));
        words_[block].store(load_le64(raw, 0), std::memory_order_release);
        co_return find(at, length);
    }
    Task<Result<void>> read_encoded(GuestOffset at, std::span<std::byte> buffer) override {
        const std::uint64_t word = words_[at.value / kToyBlock].load(std::memory_order_acquire);
        std::ranges::fill(buffer, static_cast<std::byte>(word >> 8));
        co_return {};
    }

private:
    static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};
    std::vector<std::atomic<std::uint64_t>> words_;
};

/// Writes blocks one after the other, and the table and the header at the end.
class ToyWriter final : public SequentialWriter {
public:
    ToyWriter(BlockFile& file, std::uint64_t bytes) : file_(file), head_(kToyTable + words(bytes)) {
        std::memcpy(head_.data(), kToyMagic.data(), kToyMagic.size());
        store_le64(head_, 1, bytes);
        end_ = (head_.size() + kToyBlock - 1) / kToyBlock * kToyBlock;
    }
    std::uint64_t grain() const noexcept override { return kToyBlock; }
    std::uint64_t zero_unit() const noexcept override { return kToyBlock; }
    Result<Place> place(std::uint64_t guest, std::uint64_t length) override {
        const std::uint64_t at = std::exchange(end_, end_ + kToyBlock);
        set_word(guest, at);
        return Place{at, std::min(length, kToyBlock)};
    }
    Result<void> store(const Place& at, std::span<const std::byte> data) override {
        return file_.write(FileOffset{at.offset}, data).run_blocking();
    }
    Result<void> zero(std::uint64_t guest, std::uint64_t length) override {
        for (std::uint64_t done = 0; done < length; done += kToyBlock)
            set_word(guest + done, 1);
        return {};
    }
    Result<void> skip(std::uint64_t, std::uint64_t) override { return {}; }
    Result<void> finish() override {
        QED_CHECK(file_.truncate(end_).run_blocking());
        return file_.write(FileOffset{0}, head_).run_blocking();
    }

private:
    static std::size_t words(std::uint64_t bytes) {
        return (bytes + kToyBlock - 1) / kToyBlock * sizeof(std::uint64_t);
    }
    void set_word(std::uint64_t guest, std::uint64_t word) {
        store_le64(head_, kToyTable / 8 + guest / kToyBlock, word);
    }
    BlockFile& file_;
    std::vector<std::byte> head_;
    std::uint64_t end_ = 0;
};

class ToyDriver final : public FormatDriver {
public:
    /// Registered as long as it lives.
    ToyDriver() { format_registry().add(*this); }
    ToyDriver(const ToyDriver&) = delete;
    ToyDriver& operator=(const ToyDriver&) = delete;
    ~ToyDriver() override { format_registry().remove(*this); }

    std::string_view name() const noexcept override { return "toy"; }
    bool probe(std::span<const std::byte> head) const noexcept override {
        return head.size() >= kToyMagic.size() &&
               std::memcmp(head.data(), kToyMagic.data(), kToyMagic.size()) == 0;
    }
    Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                              std::span<const std::byte> head,
                                              BackingOpener& backing, OpenOptions) const override {
        LayerTraits traits;
        traits.format = "toy";
        traits.bytes = load_le64(head, 1);
        traits.cluster_bytes = kToyBlock;
        const auto* const name = reinterpret_cast<const char*>(head.data()) + 24;
        traits.backing.name.assign(name, load_le64(head, 2) & 0xff);
        BackingReference reference = traits.backing;
        auto base = co_await backing.open(std::move(reference));
        if (!base) co_return pass(base);
        co_return std::make_shared<ToyLayer>(std::move(file), std::move(*base), std::move(traits));
    }
    Result<void> check_create(const CreateOptions&) const override { return {}; }
    Task<Result<void>> create(BlockFile& file, CreateOptions options) const override {
        QED_CO_CHECK(co_await file.truncate(0));
        ToyWriter writer(file, options.image_bytes);
        QED_CO_CHECK(writer.finish());
        if (options.backing_name == nullptr) co_return {};
        const std::string name(options.backing_name);
        std::vector<std::byte> reference(8 + name.size());
        store_le64(reference, 0, name.size());
        std::memcpy(reference.data() + 8, name.data(), name.size());
        co_return co_await file.write(FileOffset{16}, reference);
    }
    Result<std::unique_ptr<SequentialWriter>> stream_writer(BlockFile& file,
                                                            const CreateOptions& image,
                                                            const WriterOptions&) const override {
        return std::make_unique<ToyWriter>(file, image.image_bytes);
    }
    /// Counts the blocks that the table names, and the damaged ones.
    Task<Result<CheckReport>> check(BlockFile& file, CheckOptions) const override {
        std::array<std::byte, 8> raw{};
        QED_CO_CHECK(co_await file.read(FileOffset{8}, raw));
        const std::uint64_t blocks = (load_le64(raw, 0) + kToyBlock - 1) / kToyBlock;
        CheckReport report;
        report.total_clusters = blocks;
        for (std::uint64_t block = 0; block < blocks; ++block) {
            QED_CO_CHECK(co_await file.read(FileOffset{kToyTable + block * 8}, raw));
            const std::uint64_t word = load_le64(raw, 0);
            if (word == 3) ++report.corruptions;
            if (word >= kToyBlock) ++report.allocated_clusters;
        }
        co_return std::move(report);
    }
};

}  // namespace qed::test
