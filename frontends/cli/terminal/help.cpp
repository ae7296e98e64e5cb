// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/help.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace qed::cli {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kNameColumns = 26;

/// Breaks `text` at spaces, and indents every line except the first by `indent` spaces.
std::string wrap(std::string_view text, std::size_t indent) {
    const std::size_t width = kColumns - indent;
    std::string wrapped;
    while (text.size() > width) {
        std::size_t end = text.rfind(' ', width);
        if (end == std::string_view::npos || end == 0) end = width;
        wrapped += text.substr(0, end);
        wrapped += '\n' + std::string(indent, ' ');
        text.remove_prefix(end);
        while (text.starts_with(' '))
            text.remove_prefix(1);
    }
    return wrapped += text;
}

std::string entry(std::string_view name, std::string_view description) {
    std::string text = fmt::format("  {:<{}}", name, kNameColumns - 2);
    if (name.size() + 3 > kNameColumns) text += '\n' + std::string(kNameColumns, ' ');
    return text + wrap(description, kNameColumns) + '\n';
}

/// Shortens types such as `FORMAT:{a,b}` and `TEXT:PATH(existing)`.
std::string short_type(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return type.substr(0, type.find(':'));
}

}  // namespace

HelpFormatter::HelpFormatter() {
    label("TEXT", "WORD");
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
    std::string name = make_option_name(option, is_positional);
    for (std::size_t at = name.find(','); at != std::string::npos; at = name.find(',', at + 2)) {
        name.insert(at + 1, " ");
    }
    const std::string type = short_type(*option);
    if (!is_positional && option->get_type_size() != 0 && !type.empty()) {
        name += ' ' + get_label(type);
    }
    return entry(name, make_option_desc(option));
}

/// The first sentence of the description.
std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
    const std::string description = command->get_description();
    return entry(command->get_name(), description.substr(0, description.find(". ")));
}

std::string HelpFormatter::make_description(const CLI::App* command) const {
    std::string description = command->get_description();
    std::ranges::replace(description, '\n', ' ');
    return wrap(description, 0) + '\n';
}

}  // namespace qed::cli
