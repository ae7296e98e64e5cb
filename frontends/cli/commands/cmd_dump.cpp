// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/reports/table_dump.hpp"
#include "cli/terminal/sizes.hpp"

namespace qed::cli {
namespace {

using Json = nlohmann::ordered_json;

struct DumpArgs {
    std::string file;
    bool tables = false;
    LockArgs lock;
    OutputArgs output;
};

/// The unchecked content of the file.
struct Dump {
    std::unique_ptr<BlockFile> file;
    std::uint64_t file_bytes = 0;
    Header header;
    std::string backing_name;
    std::string fault;  ///< the reason why the header is unusable, or empty
};

Result<Dump> read_dump(const DumpArgs& args) {
    auto path = plain_path(args.file);
    if (!path) return pass(path);
    DiskArgs open;
    open.lock = args.lock.mode();
    auto file = open_locked(*path, open);
    if (!file) return pass(file);
    Dump dump;
    dump.file = std::move(*file);
    auto size = dump.file->size();
    if (!size) return pass(size);
    dump.file_bytes = *size;
    std::array<std::byte, kHeaderBytes> raw{};
    QED_CHECK(dump.file->read(FileOffset{0}, raw).run_blocking());
    auto header = decode_header(raw);
    if (!header) return pass(header);
    dump.header = *header;
    if (auto valid = validate_header(dump.header, dump.file_bytes); !valid) {
        dump.fault = valid.error().message();
        return dump;
    }
    if (dump.header.has_backing()) {
        std::vector<std::byte> name(dump.header.backing_name_bytes);
        QED_CHECK(
            dump.file->read(FileOffset{dump.header.backing_name_offset}, name).run_blocking());
        auto decoded = decode_backing_name(name);
        if (!decoded) return pass(decoded);
        dump.backing_name = *decoded;
    }
    return dump;
}

Json header_json(const Dump& dump) {
    const Header& header = dump.header;
    Json json;
    json["cluster-size"] = header.cluster_bytes;
    json["table-size"] = header.table_clusters;
    json["header-size"] = header.header_clusters;
    json["features"] = header.features;
    json["compat-features"] = header.compat_features;
    json["autoclear-features"] = header.autoclear_features;
    json["l1-table-offset"] = header.l1_table_offset.value;
    json["image-size"] = header.image_bytes;
    json["backing-filename-offset"] = header.backing_name_offset;
    json["backing-filename-size"] = header.backing_name_bytes;
    if (!dump.backing_name.empty()) json["backing-filename"] = dump.backing_name;
    return json;
}

std::string feature_list(const Header& header) {
    std::string list;
    if (header.has_backing()) list += " BACKING_FILE";
    if (header.needs_check()) list += " NEED_CHECK";
    if (header.backing_is_raw()) list += " BACKING_FORMAT_NO_PROBE";
    if ((header.features & ~feature::kKnown) != 0) list += " and unknown bits";
    return list;
}

void print_header(const Dump& dump, Console& console) {
    const Header& header = dump.header;
    console.print("{:<24}{} ({})\n", "cluster_size", header.cluster_bytes,
                  human_size(header.cluster_bytes));
    console.print("{:<24}{} clusters\n", "table_size", header.table_clusters);
    console.print("{:<24}{} clusters\n", "header_size", header.header_clusters);
    console.print("{:<24}{:#x}{}\n", "features", header.features, feature_list(header));
    console.print("{:<24}{:#x}\n", "compat_features", header.compat_features);
    console.print("{:<24}{:#x}\n", "autoclear_features", header.autoclear_features);
    console.print("{:<24}{:#x}\n", "l1_table_offset", header.l1_table_offset.value);
    console.print("{:<24}{} ({})\n", "image_size", header.image_bytes,
                  human_size(header.image_bytes));
    console.print("{:<24}{} bytes at {}", "backing_filename", header.backing_name_bytes,
                  header.backing_name_offset);
    if (!dump.backing_name.empty()) console.print(": {}", printable(dump.backing_name));
    console.print("\n{:<24}{} ({})\n", "file length", dump.file_bytes, human_size(dump.file_bytes));
}

Result<void> print_tables(TableDump& tables, const Geometry& geometry, bool all, Console& console) {
    auto entries = tables.l1_entries();
    if (!entries) return pass(entries);
    console.print("\nL1 table: {} of {} entries in use\n", entries->size(),
                  geometry.table_entries());
    for (const TableDump::L1Entry& entry : *entries) {
        console.print("L1[{}] = {:#x}{}\n", entry.index, entry.offset,
                      entry.usable ? "" : "  BAD: no whole table inside the file");
        if (!entry.usable || !all) continue;
        auto done = tables.l2_runs(entry.offset, [&](const EntryRun& run) {
            if (run.kind == EntryRun::Kind::unallocated) return;
            const std::uint64_t guest = (entry.index << geometry.table_span_bits()) +
                                        (run.first << geometry.cluster_bits());
            console.print("  L2[{}] guest {:#x}: {} x {}", run.first, guest, run.count,
                          to_string(run.kind));
            const bool has_offset = run.kind != EntryRun::Kind::zero;
            console.write(has_offset ? fmt::format(" {:#x}\n", run.offset) : "\n");
        });
        if (!done) return done;
    }
    return {};
}

Json run_json(const EntryRun& run) {
    Json json;
    json["first"] = run.first;
    json["count"] = run.count;
    json["kind"] = to_string(run.kind);
    const bool has_offset = run.kind == EntryRun::Kind::data || run.kind == EntryRun::Kind::bad;
    if (has_offset) json["offset"] = run.offset;
    return json;
}

/// Prints one L1 entry per line; with `all`, its L2 table on the lines below. Prints while reading.
Result<void> write_tables_json(TableDump& tables, bool all, Console& console) {
    auto entries = tables.l1_entries();
    if (!entries) return pass(entries);
    console.write(",\n\"l1\": [");
    bool is_first = true;
    for (const TableDump::L1Entry& entry : *entries) {
        console.print("{}\n{{\"index\": {}, \"offset\": {}, \"usable\": {}", is_first ? "" : ",",
                      entry.index, entry.offset, entry.usable);
        is_first = false;
        if (all && entry.usable) {
            console.write(", \"l2\": [");
            bool is_first_run = true;
            auto done = tables.l2_runs(entry.offset, [&](const EntryRun& run) {
                console.print("{}\n {}", is_first_run ? "" : ",", run_json(run).dump());
                is_first_run = false;
            });
            if (!done) return done;
            console.write("]");
        }
        console.write("}");
    }
    console.write("]");
    return {};
}

int run_dump(const DumpArgs& args, Console& console) {
    auto dump = read_dump(args);
    if (!dump) return console.fail(dump.error());
    const Header& header = dump->header;
    const bool usable = dump->fault.empty();
    if (args.output.json()) {
        const auto keep_text = Json::error_handler_t::replace;
        console.print("{{\"header\": {},\n\"file-length\": {}",
                      header_json(*dump).dump(-1, ' ', false, keep_text), dump->file_bytes);
        if (!usable) console.print(",\n\"fault\": {}", Json(dump->fault).dump());
    } else {
        print_header(*dump, console);
    }
    Result<void> done{};
    if (usable) {
        const Geometry geometry =
            Geometry::make(header.cluster_bytes, header.table_clusters).value();
        TableDump tables(*dump->file, header, geometry, dump->file_bytes);
        done = args.output.json() ? write_tables_json(tables, args.tables, console)
                                  : print_tables(tables, geometry, args.tables, console);
    }
    if (args.output.json()) console.write("}\n");
    if (!done) return console.fail(done.error());
    return usable ? kExitOk : console.fail(dump->fault);
}

}  // namespace

void add_dump(CLI::App& app, Console& console) {
    auto args = std::make_shared<DumpArgs>();
    CLI::App& command = add_command(app, "dump", "Show the header and tables of an image unchecked",
                                    "  qed dump --tables damaged.qed");
    command.add_option("file", args->file, "The image, consistent or not")
        ->required()
        ->type_name("");
    command.add_flag("--tables", args->tables, "Show the L2 tables too, as runs of entries");
    add_output_option(command, args->output);
    add_lock_options(command, args->lock);
    on_run(command, console, args, run_dump);
}

}  // namespace qed::cli
