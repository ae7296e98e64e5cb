// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/probe.hpp"

#include <algorithm>
#include <array>

namespace qed::cli {
namespace {

using namespace std::string_view_literals;

struct Magic {
    std::size_t at;
    std::string_view bytes;
    std::string_view format;
};

constexpr std::array kMagics = {
    Magic{0, "QED\0"sv, "qed"},
    Magic{0, "QFI\xfb\0\0\0\1"sv, "qcow"},
    Magic{0, "QFI\xfb"sv, "qcow2"},
    Magic{0, "KDMV"sv, "vmdk"},
    Magic{0, "COWD"sv, "vmdk"},
    Magic{0, "vhdxfile"sv, "vhdx"},
    Magic{0, "conectix"sv, "vpc"},
    Magic{0, "LUKS\xba\xbe"sv, "luks"},
    Magic{0, "WithoutFreeSpace"sv, "parallels"},
    Magic{0, "WithouFreSpacExt"sv, "parallels"},
    Magic{0, "Bochs Virtual HD Image\0"sv, "bochs"},
    Magic{0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"sv, "cloop"},
    Magic{64, "\x7f\x10\xda\xbe"sv, "vdi"},
};
// A disk image of macOS has its header at the end.
constexpr std::string_view kKoly = "koly"sv;
constexpr std::size_t kKolyBytes = 512;

/// A VMDK descriptor: after comments and empty lines comes the version.
bool is_vmdk_text(std::string_view text) {
    if (!text.starts_with('#')) return false;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        const bool is_blank = line.find_first_not_of(" \t\r") == std::string_view::npos;
        if (!line.starts_with('#') && !is_blank) {
            constexpr std::array kVersions = {"version=1"sv, "version=2"sv, "version=3"sv};
            return std::ranges::any_of(
                kVersions, [line](std::string_view known) { return line.starts_with(known); });
        }
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return false;
}

}  // namespace

std::string_view format_of(std::string_view start, std::string_view end) {
    for (const Magic& magic : kMagics) {
        if (start.size() >= magic.at && start.substr(magic.at).starts_with(magic.bytes)) {
            return magic.format;
        }
    }
    if (start.starts_with("# Disk DescriptorFile") || is_vmdk_text(start)) return "vmdk";
    if (end.size() == kKolyBytes && end.starts_with(kKoly)) return "dmg";
    return "raw";
}

}  // namespace qed::cli
