// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/serve/sandbox_option.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/backing.hpp"

namespace qed::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoArgs {
    std::string file;
    std::string format;
    bool whole_chain = false;
    LockArgs lock;
    OutputArgs output;
    BackingArgs backing;
    SandboxArgs sandbox;
};

std::vector<std::string> feature_names(const Header& header) {
    std::vector<std::string> names;
    if (header.has_backing()) names.emplace_back("backing-file");
    if (header.needs_check()) names.emplace_back("need-check");
    if (header.backing_is_raw()) names.emplace_back("backing-format-no-probe");
    return names;
}

/// One layer of the chain, gathered from the open image.
struct LayerFacts {
    std::string file;
    LayerInfo info;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t disk_bytes = 0;
    std::string backing_path;
    Header header;  ///< of QED images

    bool is_qed() const { return info.format == "qed"; }
    bool is_dirty() const { return is_qed() ? header.needs_check() : info.is_dirty; }
    /// Empty: the header does not say.
    std::string_view backing_format() const {
        switch (info.backing.format) {
            case BackingFormat::raw:
                return "raw";
            case BackingFormat::qed:
                return "qed";
            case BackingFormat::qcow2:
                return "qcow2";
            case BackingFormat::unstated:
                break;
        }
        return "";
    }
};

Json json_of(const LayerProperty& property) {
    return std::visit([](const auto& value) { return Json(value); }, property.value);
}

/// `lazy refcounts: false`, as qemu-img has it.
std::string text_of(const LayerProperty& property) {
    std::string name(property.name);
    std::ranges::replace(name, '-', ' ');
    const auto write = [&](const auto& value) { return fmt::format("    {}: {}\n", name, value); };
    return std::visit(write, property.value);
}

Result<LayerFacts> facts_of(Image& image) {
    LayerFacts facts;
    facts.file = image.file_name();
    facts.info = image.info();
    facts.virtual_bytes = image.size();
    auto disk_bytes = image.file().allocated_bytes();
    if (!disk_bytes) return pass(disk_bytes);
    facts.disk_bytes = *disk_bytes;
    if (facts.is_qed()) facts.header = image.header();
    if (facts.info.has_backing()) {
        facts.backing_path = resolve_backing_name(facts.file, facts.info.backing.name);
    }
    return facts;
}

Json json_of(const LayerFacts& facts) {
    Json json;
    const bool has_backing = facts.info.has_backing();
    if (has_backing && !facts.backing_format().empty()) {
        json["backing-filename-format"] = facts.backing_format();
    }
    json["virtual-size"] = facts.virtual_bytes;
    json["filename"] = facts.file;
    if (facts.info.cluster_bytes != 0) json["cluster-size"] = facts.info.cluster_bytes;
    json["format"] = facts.info.format;
    json["actual-size"] = facts.disk_bytes;
    if (!facts.info.properties.empty()) {
        Json data;
        for (const LayerProperty& property : facts.info.properties)
            data[std::string(property.name)] = json_of(property);
        json["format-specific"] = {{"type", facts.info.format}, {"data", data}};
    }
    if (facts.is_qed()) {
        json["format-specific"] = {
            {"type", "qed"},
            {"data",
             {{"table-size", facts.header.table_clusters},
              {"header-size", facts.header.header_clusters},
              {"features", feature_names(facts.header)},
              {"unknown-compat-features", facts.header.compat_features},
              {"unknown-autoclear-features", facts.header.autoclear_features}}}};
    }
    if (has_backing) {
        json["full-backing-filename"] = facts.backing_path;
        json["backing-filename"] = facts.info.backing.name;
    }
    json["dirty-flag"] = facts.is_dirty();
    return json;
}

void print_human(const LayerFacts& facts, Console& console) {
    console.print("image: {}\nfile format: {}\n", printable(facts.file), facts.info.format);
    console.print("virtual size: {} ({} bytes)\ndisk size: {}\n", human_size(facts.virtual_bytes),
                  facts.virtual_bytes, human_size(facts.disk_bytes));
    if (facts.info.cluster_bytes == 0) return;
    console.print("cluster_size: {}\n", facts.info.cluster_bytes);
    if (facts.is_dirty()) console.write("cleanly shut down: no\n");
    const std::string& backing = facts.info.backing.name;
    if (!backing.empty()) {
        console.print("backing file: {}", printable(backing));
        if (facts.backing_path != backing) {
            console.print(" (actual path: {})", printable(facts.backing_path));
        }
        console.write("\n");
        if (!facts.backing_format().empty()) {
            console.print("backing file format: {}\n", facts.backing_format());
        }
    }
    console.write("Format specific information:\n");
    for (const LayerProperty& property : facts.info.properties)
        console.write(text_of(property));
    if (!facts.is_qed()) return;
    console.print("    table size: {}\n", facts.header.table_clusters);
    if (facts.header.compat_features != 0) {
        console.print("    unknown compatible features: {:#x}\n", facts.header.compat_features);
    }
    if (facts.header.autoclear_features != 0) {
        console.print("    unknown autoclear features: {:#x}\n", facts.header.autoclear_features);
    }
}

int run_info(const InfoArgs& args, Console& console) {
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    DiskArgs open;
    open.format = args.format;
    open.lock = args.lock.mode();
    open.open_backing = args.whole_chain;
    open.backing = *policy;
    auto disk = open_disk(args.file, open);
    if (!disk) return console.fail(disk.error());
    if (auto closed = enter_sandbox(args.sandbox); !closed) return console.fail(closed.error());

    std::vector<LayerFacts> layers;
    for (Image* layer = disk->image.get(); layer != nullptr; layer = layer->backing()) {
        auto facts = facts_of(*layer);
        if (!facts) return console.fail(facts.error());
        layers.push_back(std::move(*facts));
    }
    if (args.output.json()) {
        Json all = Json::array();
        for (const LayerFacts& facts : layers)
            all.push_back(json_of(facts));
        console.write(dump_json(args.whole_chain ? all : all[0]));
        return kExitOk;
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
        if (i > 0) console.write("\n");
        print_human(layers[i], console);
    }
    return kExitOk;
}

}  // namespace

void add_info(CLI::App& app, Console& console) {
    auto args = std::make_shared<InfoArgs>();
    CLI::App& command = add_command(app, "info", "Show format, sizes and backing file of an image",
                                    "  qed info --backing-chain clone.qed");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command
        .add_option("-f", args->format,
                    "Format: qed, qcow2 or raw; default: the file's first bytes decide")
        ->type_name("FMT");
    add_output_option(command, args->output);
    command.add_flag("--backing-chain", args->whole_chain, "Show the backing files too");
    add_lock_options(command, args->lock);
    add_backing_options(command, args->backing);
    add_sandbox_option(command, args->sandbox);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_info);
}

}  // namespace qed::cli
