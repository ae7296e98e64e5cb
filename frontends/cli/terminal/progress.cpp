// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/progress.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/terminal/sizes.hpp"

namespace qed::cli {
namespace {

double percent_of(std::uint64_t done, std::uint64_t total) {
    if (total == 0) return 100.0;
    return 100.0 * static_cast<double>(done) / static_cast<double>(total);
}

double seconds_left(std::uint64_t done, std::uint64_t total, double seconds) {
    if (done == 0 || done >= total) return 0;
    return seconds * static_cast<double>(total - done) / static_cast<double>(done);
}

std::string human_seconds(double seconds) {
    const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
    if (whole < 60) return fmt::format("{} s", whole);
    if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
    return fmt::format("{}:{:02} h", whole / 3600, whole % 3600 / 60);
}

/// Before this time a rate would be meaningless.
constexpr double kRateAfterSeconds = 0.5;
constexpr std::chrono::milliseconds kRedraw{100};

}  // namespace

void add_progress_options(CLI::App& app, ProgressArgs& args) {
    app.add_flag("-p,--progress", args.show, "Show progress even without a terminal");
    app.add_flag("-q,--quiet", args.quiet, "Print errors only");
    app.add_flag("--json-progress", args.json, "Show progress as one JSON object per line");
}

std::string progress_percent(std::uint64_t done, std::uint64_t total) {
    return fmt::format("    ({:.2f}/100%)", percent_of(done, total));
}

std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds) {
    std::string line = fmt::format("{:5.1f}%  {} of {}", percent_of(done, total), human_size(done),
                                   human_size(total));
    if (seconds >= kRateAfterSeconds) {
        line += fmt::format(
            "  {}/s", human_size(static_cast<std::uint64_t>(static_cast<double>(done) / seconds)));
        if (done > 0 && done < total) {
            line += fmt::format("  {} left", human_seconds(seconds_left(done, total, seconds)));
        }
    }
    return line;
}

std::string progress_json(std::uint64_t done, std::uint64_t total, double seconds) {
    nlohmann::ordered_json line;
    line["done"] = done;
    line["total"] = total;
    line["seconds"] = seconds;
    line["bytes-per-second"] = seconds > 0 ? static_cast<double>(done) / seconds : 0.0;
    if (done > 0) line["seconds-left"] = seconds_left(done, total, seconds);
    return line.dump();
}

ProgressView::ProgressView(Console& console, const ProgressArgs& args)
    : console_(console), begin_(Clock::now()), shown_(begin_) {
    if (args.json) {
        style_ = Style::json;
    } else if (args.quiet) {
        style_ = Style::none;
    } else if (console.err_is_terminal()) {
        style_ = Style::line;
    } else if (args.show) {
        style_ = Style::percent;
    }
    // A program that reads qemu-img's percentages reads standard output, not the terminal.
    if (args.show && !args.json && !args.quiet && !console.out_is_terminal()) {
        style_ = Style::percent;
    }
    Interrupts::watch();
    if (style_ == Style::percent) show();
}

double ProgressView::seconds() const {
    return std::chrono::duration<double>(Clock::now() - begin_).count();
}

void ProgressView::show() {
    switch (style_) {
        case Style::none:
            break;
        case Style::percent:
            console_.write(progress_percent(done_, total_ != 0 ? total_ : 1) + "\r");
            break;
        case Style::line:
            console_.write_error("\r\x1b[K" + progress_line(done_, total_, seconds()));
            break;
        case Style::json:
            console_.write(progress_json(done_, total_, seconds()) + "\n");
            break;
    }
    if (style_ != Style::line) console_.flush();
}

bool ProgressView::update(std::uint64_t done, std::uint64_t total) {
    done_ = done;
    total_ = total;
    if (Interrupts::requested()) return false;
    if (Interrupts::progress_wanted()) {
        console_.write_error(progress_line(done_, total_, seconds()) + "\n");
    }
    if (style_ == Style::none) return true;
    const Clock::time_point now = Clock::now();
    if (now - shown_ < kRedraw) return true;
    const std::uint64_t per_mille = total == 0 ? 1000 : done / ((total + 999) / 1000);
    if (style_ == Style::percent && per_mille == shown_per_mille_) return true;
    shown_ = now;
    shown_per_mille_ = per_mille;
    show();
    return true;
}

void ProgressView::finish(bool succeeded) {
    if (style_ == Style::line) {
        console_.write_error("\r\x1b[K");
        return;
    }
    if (succeeded) {
        done_ = total_ = std::max<std::uint64_t>(total_, 1);
        show();
    }
    if (style_ == Style::percent) console_.write("\n");
}

bool ProgressView::callback(void* context, std::uint64_t done, std::uint64_t total) {
    return static_cast<ProgressView*>(context)->update(done, total);
}

}  // namespace qed::cli
