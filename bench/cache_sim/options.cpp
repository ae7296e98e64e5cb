// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <bit>
#include <sstream>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "byte_size.hpp"

namespace qed::cache_sim {
namespace {

constexpr int kUsage = 2;

using Words = std::vector<std::string>;

// The words of the command line before they are parsed.
struct Arguments {
    Words csv_paths;
    std::string csv_format = "auto";
    Words synthetic;
    Words policies{"all"};
    Words granularities{"table", "4K"};
    Words budgets{"12.5M"};
    std::string cluster_size = "64K";
    std::uint32_t table_size = 4;
    std::string image_size = "1T";
    std::uint64_t lookups = 0;
    std::uint32_t volumes = 1;
    std::string record = "64";
    std::string form = "raw";
    std::uint64_t seed = 1;
    bool json = false;
};

std::unexpected<Stop> usage_error(std::string_view what) {
    return std::unexpected(
        Stop{kUsage, fmt::format("qed-cache-sim: {} (see qed-cache-sim --help)\n", what)});
}

template <typename Kinds>
std::string list_kinds(std::string_view title, const Kinds& kinds) {
    std::string text = fmt::format("\n{}:\n", title);
    for (const auto& kind : kinds)
        text += fmt::format("  {:<12} {}\n", kind.name, kind.summary);
    return text;
}

std::string epilogue() {
    return list_kinds("Policies", all_policies()) +
           list_kinds("Synthetic traces", all_generators()) +
           "\nExamples:\n"
           "  # which policy, and tables or slices, for the default budget\n"
           "  qed-cache-sim --synthetic all\n"
           "  # how much cache one of my guests needs\n"
           "  qed-cache-sim --csv guest.csv --policy s3fifo-a --granularity 4K \\\n"
           "      --budget 256K,1M,4M,16M\n"
           "  # 64 such guests that share one budget; the trace is compressed\n"
           "  zcat guest.csv.gz | qed-cache-sim --csv - --volumes 64 --json\n"
           "\nThe manual is docs/cache-sim.md.\n";
}

void add_trace_options(CLI::App& app, Arguments& arguments) {
    app.add_option("--csv", arguments.csv_paths, "Trace files; - is the standard input")
        ->delimiter(',')
        ->group("Traces");
    app.add_option("--csv-format", arguments.csv_format,
                   "block: version,time,op,size_bytes,lba512; offset: offset,length in bytes")
        ->check(CLI::IsMember({"auto", "block", "offset"}))
        ->capture_default_str()
        ->group("Traces");
    app.add_option("--synthetic", arguments.synthetic, "Names of synthetic traces, or all")
        ->delimiter(',')
        ->group("Traces");
    app.add_option("--lookups", arguments.lookups,
                   "Length of synthetic traces (default 2000000); others are cut after so many")
        ->check(CLI::Range(std::uint64_t{1}, kMaxLookups))
        ->group("Traces");
    app.add_option("--volumes", arguments.volumes,
                   "Copies of each trace, shuffled together and sharing the budget")
        ->check(CLI::Range(1U, 65536U))
        ->capture_default_str()
        ->group("Traces");
    app.add_option("--seed", arguments.seed, "Of everything random")
        ->capture_default_str()
        ->group("Traces");
}

void add_image_options(CLI::App& app, Arguments& arguments) {
    app.add_option("--cluster-size", arguments.cluster_size, "Of the image, 4K to 64M")
        ->capture_default_str()
        ->group("Image");
    app.add_option("--table-size", arguments.table_size, "Of the image, clusters: 1 to 16")
        ->capture_default_str()
        ->group("Image");
    app.add_option("--image-size", arguments.image_size, "What synthetic traces run over")
        ->capture_default_str()
        ->group("Image");
}

void add_cache_options(CLI::App& app, Arguments& arguments) {
    app.add_option("--policy", arguments.policies, "Names of policies, or all")
        ->delimiter(',')
        ->capture_default_str()
        ->group("Cache");
    app.add_option("--granularity", arguments.granularities,
                   "Bytes of L2 table in one entry, or table")
        ->delimiter(',')
        ->capture_default_str()
        ->group("Cache");
    app.add_option("--budget", arguments.budgets, "Bytes of memory for all entries")
        ->delimiter(',')
        ->capture_default_str()
        ->group("Cache");
    app.add_option("--record", arguments.record, "Bytes that each entry takes besides its contents")
        ->capture_default_str()
        ->group("Cache");
    app.add_option("--form", arguments.form,
                   "raw: an entry takes its granularity; compact: bitmap, rank and 4 bytes for "
                   "each cluster that the trace touches")
        ->check(CLI::IsMember({"raw", "compact"}))
        ->capture_default_str()
        ->group("Cache");
}

// Names of kinds; "all" means every kind.
template <typename Kind>
std::expected<std::vector<const Kind*>, Stop> find_all(std::string_view what, const Words& words,
                                                       std::span<const Kind> kinds) {
    std::vector<const Kind*> found;
    for (const std::string& word : words) {
        const std::size_t before = found.size();
        for (const Kind& kind : kinds) {
            if (word == "all" || word == kind.name) found.push_back(&kind);
        }
        if (found.size() > before) continue;
        Words names{"all"};
        for (const Kind& kind : kinds)
            names.emplace_back(kind.name);
        return usage_error(
            fmt::format("no {} \"{}\"; want one of {}", what, word, fmt::join(names, ", ")));
    }
    return found;
}

// A size between two limits, and a power of two if requested.
std::expected<std::uint64_t, Stop> size_in(std::string_view option, std::string_view text,
                                           std::uint64_t least, std::uint64_t most,
                                           bool power_of_two) {
    const auto bytes = parse_bytes(text);
    if (!bytes) return usage_error(fmt::format("{}: {}", option, bytes.error()));
    if (*bytes < least || *bytes > most || (power_of_two && !std::has_single_bit(*bytes))) {
        return usage_error(fmt::format("{} is {}, want {}{} to {}", option, text,
                                       power_of_two ? "a power of two from " : "",
                                       format_bytes(least), format_bytes(most)));
    }
    return *bytes;
}

std::expected<void, Stop> read_image(const Arguments& arguments, Options& options) {
    const auto cluster =
        size_in("--cluster-size", arguments.cluster_size, 4096, std::uint64_t{64} << 20, true);
    if (!cluster) return std::unexpected(cluster.error());
    options.cluster_bytes = *cluster;
    if (arguments.table_size > 16 || !std::has_single_bit(arguments.table_size)) {
        return usage_error(
            fmt::format("--table-size is {}, want 1, 2, 4, 8 or 16", arguments.table_size));
    }
    options.table_bytes = *cluster * arguments.table_size;
    // With 2^23 or more entries, the limit exceeds every size that can be written.
    const double entries = static_cast<double>(options.table_bytes) / 8;
    const double limit = std::min(entries * entries * static_cast<double>(*cluster), 0x1p62);
    const auto image = size_in("--image-size", arguments.image_size, *cluster,
                               static_cast<std::uint64_t>(limit), false);
    if (!image) return std::unexpected(image.error());
    options.image_bytes = *image;
    return {};
}

std::expected<void, Stop> read_cache(const Arguments& arguments, Options& options) {
    for (const std::string& text : arguments.granularities) {
        const std::string size = text == "table" ? std::to_string(options.table_bytes) : text;
        const auto bytes = size_in("--granularity", size, 64, options.table_bytes, true);
        if (!bytes) return std::unexpected(bytes.error());
        options.granularities.push_back(static_cast<std::uint32_t>(*bytes));
    }
    for (const std::string& text : arguments.budgets) {
        const auto bytes = size_in("--budget", text, 1, std::uint64_t{1} << 50, false);
        if (!bytes) return std::unexpected(bytes.error());
        options.budgets.push_back(*bytes);
    }
    const auto record = size_in("--record", arguments.record, 0, 65536, false);
    if (!record) return std::unexpected(record.error());
    options.record_bytes = static_cast<std::uint32_t>(*record);
    options.form = arguments.form == "compact" ? EntryForm::compact : EntryForm::raw;
    return {};
}

std::expected<Options, Stop> understand(const Arguments& arguments) {
    if (arguments.csv_paths.empty() && arguments.synthetic.empty()) {
        return usage_error("no trace: give --csv or --synthetic");
    }
    Options options;
    options.csv_paths = arguments.csv_paths;
    if (arguments.csv_format == "block") options.csv_format = CsvFormat::block;
    if (arguments.csv_format == "offset") options.csv_format = CsvFormat::offset;
    const auto synthetic = find_all("synthetic trace", arguments.synthetic, all_generators());
    if (!synthetic) return std::unexpected(synthetic.error());
    options.synthetic = *synthetic;
    const auto policies = find_all("policy", arguments.policies, all_policies());
    if (!policies) return std::unexpected(policies.error());
    options.policies = *policies;
    if (arguments.lookups != 0) {
        options.synthetic_lookups = options.lookup_limit = arguments.lookups;
    }
    options.volumes = arguments.volumes;
    options.seed = arguments.seed;
    options.json = arguments.json;
    if (const auto done = read_image(arguments, options); !done) {
        return std::unexpected(done.error());
    }
    if (const auto done = read_cache(arguments, options); !done) {
        return std::unexpected(done.error());
    }
    return options;
}

}  // namespace

std::expected<Options, Stop> parse_options(int argc, const char* const* argv) {
    Arguments arguments;
    CLI::App app(
        "Plays traces of a virtual disk against the L2 table cache of a QED image and "
        "counts the misses,\npolicy by policy, so that you can choose a cache size.",
        "qed-cache-sim");
    app.footer(epilogue());
    add_trace_options(app, arguments);
    add_image_options(app, arguments);
    add_cache_options(app, arguments);
    app.add_flag("--json", arguments.json, "One JSON document instead of tables");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::ostringstream out;
        std::ostringstream complaint;
        const bool failed = app.exit(error, out, complaint) != 0;
        if (!failed) return std::unexpected(Stop{0, out.str()});
        return usage_error(error.what());
    }
    return understand(arguments);
}

}  // namespace qed::cache_sim
