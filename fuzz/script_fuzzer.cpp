// SPDX-License-Identifier: Apache-2.0
// A script of requests, followed by any bytes as an image: the disk behaves like a plain array of
// bytes, across closing and reopening, and its tables stay consistent.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "image_mutator.hpp"
#include "input_file.hpp"
#include "qed/check.hpp"
#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr std::size_t kStepBytes = 8;
constexpr std::size_t kSteps = 16;
constexpr std::uint64_t kModelBytes = 512U << 10;  // requests stay below this offset
constexpr std::uint64_t kMaxLength = 20'000;

/// The file of an image that is closed and reopened.
class Session {
public:
    Session(std::span<const std::uint8_t> bytes, WriteOrder order)
        : content_(bytes.begin(), bytes.end()), order_(order) {}

    bool open(bool writable) {
        OpenOptions options;
        options.writable = writable;
        options.order = order_;
        options.lock = LockMode::none;
        auto file = fuzz::file_of(content_);
        file_ = file.get();
        auto image = sync_wait(Image::open_file(std::move(file), nullptr, options));
        image_ = image ? std::move(*image) : nullptr;
        return image_ != nullptr;
    }
    bool close() {
        const bool closed = image_->close().has_value();
        const auto content = file_->load(0, file_->bytes());
        const auto bytes = fuzz::bytes_of(content);
        content_.assign(bytes.begin(), bytes.end());
        image_.reset();
        return closed;
    }
    Image& image() { return *image_; }
    std::span<const std::uint8_t> content() const { return content_; }

private:
    std::vector<std::uint8_t> content_;
    WriteOrder order_;
    std::unique_ptr<Image> image_;
    test::MemoryFile* file_ = nullptr;
};

struct Step {
    unsigned kind;
    std::uint64_t offset;
    std::uint64_t length;
    std::byte pattern;
};

Step step_of(std::span<const std::uint8_t> raw, std::uint64_t disk) {
    const auto byte = [raw](std::size_t i) { return std::uint64_t{raw[i]}; };
    const std::uint64_t offset = (byte(1) | byte(2) << 8 | byte(3) << 16) % (disk + 1);
    const std::uint64_t length = (byte(4) | byte(5) << 8) % kMaxLength;
    return {raw[0] % 6U, offset, std::min(length, disk - offset), std::byte{raw[6]}};
}

void expect_same(Image& image, std::span<const std::byte> model) {
    std::vector<std::byte> now(model.size());
    if (!image.read_blocking({0}, now)) __builtin_trap();
    if (!std::ranges::equal(now, model)) __builtin_trap();
}

/// If two entries name one cluster, a write to one guest cluster changes the other. Opening does
/// not look for that, unless the dirty bit is set.
bool is_usable(std::span<const std::uint8_t> bytes) {
    const auto file = fuzz::file_of(bytes);
    const auto report = sync_wait(check_file(*file, CheckOptions{}));
    return report && (report->corruptions == 0 || report->was_dirty);
}

/// Whole clusters inside a discarded range read as zeroes; partial ones keep their content.
void discard(Image& image, std::span<std::byte> model, const Step& step) {
    if (!image.discard_blocking({step.offset}, step.length)) return;
    const std::uint64_t cluster = image.geometry().cluster_bytes();
    const std::uint64_t begin = (step.offset + cluster - 1) / cluster * cluster;
    std::uint64_t end = (step.offset + step.length) / cluster * cluster;
    if (step.offset + step.length == image.size()) end = image.size();
    if (begin < end) std::ranges::fill(model.subspan(begin, end - begin), std::byte{0});
}

/// Returns false if the request failed, as it may at the file's size limit. The content of its
/// range is then unknown.
bool run(Image& image, std::span<std::byte> model, const Step& step) {
    const auto part = model.subspan(step.offset, step.length);
    switch (step.kind) {
        case 0:
        case 1: {
            const std::vector<std::byte> data(step.length, step.pattern);
            if (!image.write_blocking({step.offset}, data)) return false;
            std::ranges::copy(data, part.begin());
            return true;
        }
        case 2:
            if (!image.write_zeroes_blocking({step.offset}, step.length)) return false;
            std::ranges::fill(part, std::byte{0});
            return true;
        case 3:
            discard(image, model, step);
            return true;
        case 4:
            return image.flush_blocking().has_value();
        default: {
            std::vector<std::byte> now(step.length);
            if (!image.read_blocking({step.offset}, now)) return false;
            if (!std::ranges::equal(now, part)) __builtin_trap();
            return true;
        }
    }
}

}  // namespace

std::size_t qed::fuzz::image_at() noexcept {
    return kSteps * kStepBytes;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span input(data, size);
    if (input.size() < fuzz::image_at()) return 0;
    constexpr WriteOrder kOrders[] = {WriteOrder::automatic, WriteOrder::strict,
                                      WriteOrder::ordered, WriteOrder::deferred};
    const auto image = input.subspan(fuzz::image_at());
    if (!is_usable(image)) return 0;
    Session session(image, kOrders[input[7] % 4]);
    if (!session.open(/*writable=*/true)) return 0;
    std::vector<std::byte> model(std::min(kModelBytes, session.image().size()));
    if (!session.image().read_blocking({0}, model)) return 0;

    for (std::size_t i = 0; i < kSteps; ++i) {
        const auto raw = input.subspan(i * kStepBytes, kStepBytes);
        const Step step = step_of(raw, model.size());
        if (!run(session.image(), model, step)) return 0;
        if (raw[7] >= 0xe0 && (!session.close() || !session.open(true))) return 0;
    }
    expect_same(session.image(), model);
    if (!session.close()) return 0;
    if (!session.open(/*writable=*/false)) __builtin_trap();
    expect_same(session.image(), model);
    const auto file = fuzz::file_of(session.content());
    const auto report = sync_wait(check_file(*file, CheckOptions{}));
    if (!report || report->is_dirty || report->corruptions > 0) __builtin_trap();
    return 0;
}
