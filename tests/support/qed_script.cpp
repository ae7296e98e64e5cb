// SPDX-License-Identifier: Apache-2.0
// Runs a script of requests on an image through the public interface, for tests in other languages.
//
//   qed_script [--threads N] [--order ORDER] [--backing-format FMT] [--read-only] IMAGE < script
//
// Offsets and lengths are bytes. A line is one of:
//   write OFFSET LENGTH FILE [fua]   the bytes of FILE, repeated
//   zero OFFSET LENGTH [unmap]       write zeroes
//   discard OFFSET LENGTH
//   flush | settle
//   resize BYTES
//   dump FILE                        the whole disk, read through the image, as a sparse raw file
//   barrier                          wait until all lines above have completed
//   die                              end the process at once with status 9, without closing
// With several threads the lines between barriers run concurrently, in any order; settle, resize,
// dump and die are barriers themselves.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "qed/image.hpp"

namespace {

using Bytes = std::vector<std::byte>;

struct Line {
    unsigned number = 0;
    std::string verb;
    std::vector<std::string> words;  // after the verb

    std::uint64_t value(std::size_t index) const { return std::stoull(words.at(index)); }
    bool has_word(std::string_view word) const {
        return std::ranges::find(words, word) != words.end();
    }
    bool runs_alone() const {
        return verb == "resize" || verb == "dump" || verb == "barrier" || verb == "settle" ||
               verb == "die";
    }
};

struct Options {
    std::string image;
    unsigned threads = 1;
    qed::OpenOptions open;
};

Bytes read_whole(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return {begin, begin + text.size()};
}

std::vector<Line> read_script(std::istream& from) {
    std::vector<Line> lines;
    unsigned number = 0;
    for (std::string text; std::getline(from, text);) {
        ++number;
        std::istringstream words(text);
        Line line{number, {}, {}};
        if (!(words >> line.verb) || line.verb.starts_with('#')) continue;
        line.words.assign(std::istream_iterator<std::string>(words), {});
        lines.push_back(std::move(line));
    }
    return lines;
}

class Runner {
public:
    explicit Runner(qed::Image& image) : image_(image) {}

    /// The files that the lines name, read before threads start.
    void load_patterns(std::span<const Line> lines) {
        for (const Line& line : lines) {
            if (line.verb != "write") continue;
            Bytes& pattern = patterns_[line.words.at(2)];
            if (pattern.empty()) pattern = read_whole(line.words.at(2));
        }
    }

    qed::Result<void> run(const Line& line) const {
        const std::string& verb = line.verb;
        if (verb == "write") return write(line);
        if (verb == "zero") {
            return image_.write_zeroes_blocking(
                {line.value(0)}, line.value(1),
                line.has_word("unmap") ? qed::WriteFlags::may_unmap : qed::WriteFlags::none);
        }
        if (verb == "discard") return image_.discard_blocking({line.value(0)}, line.value(1));
        if (verb == "flush") return image_.flush_blocking();
        if (verb == "settle") return image_.quiesce_blocking();
        if (verb == "resize") return image_.resize_blocking(line.value(0));
        if (verb == "dump") return dump(line.words.at(0));
        if (verb == "barrier") return {};
        if (verb == "die") std::_Exit(9);
        return qed::fail(qed::Errc::invalid_argument, fmt::format("unknown verb '{}'", verb));
    }

private:
    qed::Result<void> write(const Line& line) const {
        const Bytes& pattern = patterns_.at(line.words.at(2));
        if (pattern.empty()) {
            return qed::fail(qed::Errc::not_found, line.words.at(2) + " is empty or not there");
        }
        Bytes data(line.value(1));
        for (std::size_t at = 0; at < data.size(); at += pattern.size()) {
            const std::size_t count = std::min(pattern.size(), data.size() - at);
            std::ranges::copy(std::span(pattern).first(count),
                              data.begin() + static_cast<std::ptrdiff_t>(at));
        }
        return image_.write_blocking(
            {line.value(0)}, data,
            line.has_word("fua") ? qed::WriteFlags::fua : qed::WriteFlags::none);
    }

    qed::Result<void> dump(const std::string& path) const {
        constexpr std::uint64_t kChunkBytes = 1U << 20;
        std::ofstream file(path, std::ios::binary | std::ios::trunc);
        std::filesystem::resize_file(path, image_.size());
        Bytes chunk(kChunkBytes);
        for (std::uint64_t at = 0; at < image_.size(); at += kChunkBytes) {
            const auto part = std::span(chunk).first(std::min(kChunkBytes, image_.size() - at));
            if (auto done = image_.read_blocking({at}, part); !done) return done;
            if (std::ranges::all_of(part, [](std::byte b) { return b == std::byte{}; })) continue;
            file.seekp(static_cast<std::streamoff>(at));
            file.write(reinterpret_cast<const char*>(part.data()),
                       static_cast<std::streamsize>(part.size()));
        }
        file.close();
        if (!file) return qed::fail(qed::Errc::io_error, path + ": writing failed");
        return {};
    }

    qed::Image& image_;
    std::map<std::string, Bytes> patterns_;
};

/// Runs `lines` on several threads. \returns whether all succeeded
bool run_batch(const Runner& runner, std::span<const Line> lines, unsigned thread_count) {
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> good = true;
    const auto work = [&] {
        for (std::size_t i = next++; i < lines.size() && good; i = next++) {
            if (const auto done = runner.run(lines[i]); !done) {
                fmt::print(stderr, "qed_script: line {}: {}: {}\n", lines[i].number, lines[i].verb,
                           done.error().message());
                good = false;
            }
        }
    };
    std::vector<std::jthread> others;
    const std::size_t useful = std::min<std::size_t>(thread_count, lines.size());
    for (std::size_t i = 1; i < useful; ++i)
        others.emplace_back(work);
    work();
    others.clear();
    return good;
}

bool run_script(const Runner& runner, std::span<const Line> lines, unsigned thread_count) {
    while (!lines.empty()) {
        std::size_t count = 0;
        while (count < lines.size() && !lines[count].runs_alone())
            ++count;
        count = std::max<std::size_t>(count, 1);
        if (!run_batch(runner, lines.first(count), thread_count)) return false;
        lines = lines.subspan(count);
    }
    return true;
}

qed::WriteOrder order_of(std::string_view text) {
    if (text == "strict") return qed::WriteOrder::strict;
    if (text == "ordered") return qed::WriteOrder::ordered;
    if (text == "deferred") return qed::WriteOrder::deferred;
    return qed::WriteOrder::automatic;
}

Options parse(int argc, char** argv) {
    Options options;
    options.open.writable = true;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
        if (word == "--threads") {
            options.threads = static_cast<unsigned>(std::stoul(value()));
        } else if (word == "--order") {
            options.open.order = order_of(value());
        } else if (word == "--backing-format") {
            options.open.backing.format =
                value() == "raw" ? qed::BackingFormat::raw : qed::BackingFormat::qed;
        } else if (word == "--read-only") {
            options.open.writable = false;
        } else {
            options.image = word;
        }
    }
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    auto image = qed::Image::open(options.image, options.open);
    if (!image) {
        fmt::print(stderr, "qed_script: {}\n", image.error().message());
        return 1;
    }
    const std::vector<Line> lines = read_script(std::cin);
    Runner runner(**image);
    runner.load_patterns(lines);
    const bool good = run_script(runner, lines, options.threads);
    if (const auto closed = (*image)->close(); !closed) {
        fmt::print(stderr, "qed_script: closing: {}\n", closed.error().message());
        return 1;
    }
    return good ? 0 : 1;
}
