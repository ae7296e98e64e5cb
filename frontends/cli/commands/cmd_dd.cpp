// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <memory>
#include <optional>

#include "cli/commands/commands.hpp"
#include "cli/commands/convert_plan.hpp"
#include "cli/terminal/sizes.hpp"

namespace qed::cli {
namespace {

constexpr std::uint64_t kMaxBlockBytes = std::numeric_limits<std::int32_t>::max();

struct DdArgs {
    std::vector<std::string> operands;
    std::string format;
    std::string target_format = "raw";
    LockArgs lock;
    BackingArgs backing;
};

struct Operands {
    std::string from;
    std::string to;
    std::uint64_t block_bytes = 512;
    std::uint64_t skip = 0;
    std::optional<std::uint64_t> count;
};

Result<void> take_operand(const std::string& word, Operands& into) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (equals == std::string::npos) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' is no operand; write if=, of=, bs=, count= or skip=", word));
    }
    const std::string value = word.substr(equals + 1);
    if (name == "if") {
        into.from = value;
    } else if (name == "of") {
        into.to = value;
    } else if (name == "bs" || name == "count" || name == "skip") {
        auto number = parse_size(value, name);
        if (!number) return pass(number);
        if (name == "bs") into.block_bytes = *number;
        if (name == "count") into.count = *number;
        if (name == "skip") into.skip = *number;
    } else {
        return fail(Errc::invalid_argument, fmt::format("unrecognized operand {}", name));
    }
    return {};
}

Result<Operands> parse_operands(const std::vector<std::string>& words) {
    Operands operands;
    for (const std::string& word : words)
        QED_CHECK(take_operand(word, operands));
    if (operands.from.empty() || operands.to.empty()) {
        return fail(Errc::invalid_argument, "name both files: if=FILE of=FILE");
    }
    if (operands.block_bytes == 0 || operands.block_bytes > kMaxBlockBytes) {
        return fail(Errc::invalid_argument, fmt::format("bs: {} is not from 1 to {}",
                                                        operands.block_bytes, kMaxBlockBytes));
    }
    return operands;
}

/// blocks * bytes, limited to the largest size.
std::uint64_t span_of(std::uint64_t blocks, std::uint64_t block_bytes) {
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(blocks, block_bytes, &bytes)) return ~std::uint64_t{0};
    return bytes;
}

int run_dd(const DdArgs& args, Console& console) {
    auto operands = parse_operands(args.operands);
    if (!operands) return console.fail(operands.error());
    ConvertArgs convert;
    convert.files = {operands->from, operands->to};
    convert.source_format = args.format;
    convert.target_format = args.target_format;
    convert.lock = args.lock;
    convert.source_backing = args.backing;
    convert.begin = span_of(operands->skip, operands->block_bytes);
    if (operands->count) convert.length = span_of(*operands->count, operands->block_bytes);
    return run_convert_command(convert, console);
}

}  // namespace

void add_dd(CLI::App& app, Console& console) {
    auto args = std::make_shared<DdArgs>();
    CLI::App& command = add_command(app, "dd", "Copy a part of a disk into a new image",
                                    "  qed dd -O raw bs=1M count=100 skip=1 if=disk.qed of=part");
    command
        .add_option("operands", args->operands,
                    "if=FILE of=FILE, and bs=SIZE (512), count=N blocks, skip=N blocks")
        ->required()
        ->type_name("");
    command.add_option("-f", args->format, "Format of the source: qed or raw")->type_name("FMT");
    command.add_option("-O", args->target_format, "Format of the target: raw (default) or qed")
        ->type_name("FMT");
    add_lock_options(command, args->lock);
    add_backing_options(command, args->backing);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_dd);
}

}  // namespace qed::cli
