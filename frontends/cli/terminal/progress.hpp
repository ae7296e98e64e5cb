// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cli/terminal/console.hpp"
#include "qed/progress.hpp"

namespace CLI {
class App;
}

namespace qed::cli {

/// The options for progress output.
struct ProgressArgs {
    bool show = false;   ///< -p
    bool quiet = false;  ///< -q
    bool json = false;   ///< --json-progress
};
void add_progress_options(CLI::App& app, ProgressArgs& args);

/// `    (12.34/100%)`, as qemu-img -p prints it for other programs.
std::string progress_percent(std::uint64_t done, std::uint64_t total);
/// `12.3%  4.56 GiB of 37 GiB  812 MiB/s  41 s left`
std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds);
/// One JSON object: done, total, seconds, bytes-per-second and, when known, seconds-left.
std::string progress_json(std::uint64_t done, std::uint64_t total, double seconds);

/// Shows the progress of a long operation: a line that is rewritten on a terminal, qemu-img's
/// percentages on standard output with -p, one JSON object per line with --json-progress; nothing
/// with -q or without a terminal. One thread at a time.
class ProgressView {
public:
    ProgressView(Console& console, const ProgressArgs& args);
    ProgressView(const ProgressView&) = delete;
    ProgressView& operator=(const ProgressView&) = delete;

    /// \returns false if the user asked to stop
    bool update(std::uint64_t done, std::uint64_t total);
    /// Shows the last state and removes the line from the terminal. Call once, after success or
    /// failure.
    void finish(bool succeeded);
    /// For the operations of libqed.
    Progress hooks() { return {.callback = callback, .context = this}; }

private:
    static bool callback(void* context, std::uint64_t done, std::uint64_t total);
    enum class Style : std::uint8_t { none, percent, line, json };
    using Clock = std::chrono::steady_clock;

    double seconds() const;
    void show();

    Console& console_;
    Style style_ = Style::none;
    Clock::time_point begin_;
    Clock::time_point shown_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
    std::uint64_t shown_per_mille_ = 0;
};

}  // namespace qed::cli
