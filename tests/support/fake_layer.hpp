// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "chain/layer.hpp"
#include "support/memory_file.hpp"

namespace qed::test {

/// A layer whose mappings the test sets, and which counts what it is asked. One thread.
class FakeLayer final : public Layer {
public:
    FakeLayer(std::uint64_t bytes, std::shared_ptr<Layer> backing, LayerTraits traits = {})
        : Layer(std::make_unique<MemoryFile>(bytes), std::move(backing),
                with_size(std::move(traits), bytes)) {}

    /// [begin, end) is stored in this way; data lies at the same offset of the file. What is not
    /// set is unallocated.
    void set(std::uint64_t begin, std::uint64_t end, Mapping::Kind kind) {
        runs_[begin] = {.end = end, .kind = kind};
    }
    /// From here on this range is unknown until it is loaded.
    void forget(std::uint64_t begin, std::uint64_t end) {
        forgotten_begin_ = begin;
        forgotten_end_ = end;
    }
    void learn_spans_of(unsigned span_bits) { start_index(span_bits); }

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        ++finds;
        if (at.value >= forgotten_begin_ && at.value < forgotten_end_) return {};
        return known(at.value, length);
    }
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override {
        ++loads;
        if (fails_to_load) co_return fail(Errc::io_error, "the fake layer fails");
        co_return known(at.value, length);
    }
    Task<Result<void>> read_encoded(GuestOffset, std::span<std::byte> buffer) override {
        std::ranges::fill(buffer, encoded);
        co_return {};
    }

    int finds = 0;
    int loads = 0;
    bool fails_to_load = false;
    std::byte encoded{0xee};

private:
    struct Run {
        std::uint64_t end = 0;
        Mapping::Kind kind = Mapping::Kind::unallocated;
    };
    static LayerTraits with_size(LayerTraits traits, std::uint64_t bytes) {
        traits.format = "fake";
        traits.bytes = bytes;
        return traits;
    }
    Mapping known(std::uint64_t at, std::uint64_t length) const {
        auto next = runs_.upper_bound(at);
        if (next != runs_.begin()) {
            const auto& [begin, run] = *std::prev(next);
            if (at < run.end) {
                length = std::min(length, run.end - at);
                if (run.kind == Mapping::Kind::data) {
                    return Mapping::in_place(FileOffset{at}, length);
                }
                return Mapping::without_data(run.kind, length);
            }
        }
        if (next != runs_.end()) length = std::min(length, next->first - at);
        return Mapping::without_data(Mapping::Kind::unallocated, length);
    }

    std::map<std::uint64_t, Run> runs_;
    std::uint64_t forgotten_begin_ = 0;
    std::uint64_t forgotten_end_ = 0;
};

}  // namespace qed::test
