// SPDX-License-Identifier: Apache-2.0
// Any bytes as the name of a backing file: under every rule, an opened file lies in a folder that
// the rule allows, and is a regular file.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "io/posix/descriptor_access.hpp"
#include "qed/header.hpp"
#include "qed/image.hpp"

namespace {

using namespace qed;

void write_file(const std::string& path, std::string_view content, off_t length) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ::pwrite(file, content.data(), content.size(), 0) < 0 ||
        ::ftruncate(file, length) != 0) {
        std::abort();
    }
    ::close(file);
}

/// outer/secret, outer/inner/base, and links and kinds of files that lead out of inner.
struct Folders {
    std::string outer;
    std::string inner;
    Folders() {
        std::array<char, 32> pattern{"/tmp/qed-names-XXXXXX"};
        if (::mkdtemp(pattern.data()) == nullptr) std::abort();
        std::array<char, PATH_MAX> real{};
        outer = ::realpath(pattern.data(), real.data());
        inner = outer + "/inner";
        const auto link = [this](const char* target, const char* name) {
            if (::symlink(target, (inner + name).c_str()) != 0) std::abort();
        };
        if (::mkdir(inner.c_str(), 0700) != 0) std::abort();
        if (::mkdir((inner + "/sub").c_str(), 0700) != 0) std::abort();
        if (::mkfifo((inner + "/fifo").c_str(), 0600) != 0) std::abort();
        write_file(outer + "/secret", "secret", 4096);
        write_file(inner + "/base", "base", 4096);
        link("../secret", "/up");
        link("..", "/out");
        link("/dev/zero", "/zero");
        link("base", "/good");
        link("loop", "/loop");
    }
    ~Folders() {
        for (const char* name : {"/fifo", "/base", "/up", "/out", "/zero", "/good", "/loop", "/i"})
            ::unlink((inner + name).c_str());
        ::rmdir((inner + "/sub").c_str());
        ::rmdir(inner.c_str());
        ::unlink((outer + "/secret").c_str());
        ::rmdir(outer.c_str());
    }
};

std::string real_name(int descriptor) {
    std::array<char, PATH_MAX> name{};
    const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    const ssize_t length = ::readlink(link.c_str(), name.data(), name.size());
    return length > 0 ? std::string(name.data(), static_cast<std::size_t>(length)) : "";
}

void try_rule(const std::string& path, BackingPolicy policy, std::string_view allowed) {
    OpenOptions options;
    options.lock = LockMode::none;
    options.backing = policy;
    const auto image = Image::open(path, options);
    if (!image) return;
    const Image* const base = (*image)->backing();
    if (base == nullptr) __builtin_trap();
    const int descriptor = DescriptorAccess::of((*image)->backing()->file());
    struct stat status{};
    if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) __builtin_trap();
    if (policy.rule == BackingRule::none) __builtin_trap();
    if (!real_name(descriptor).starts_with(allowed)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Folders folders;
    constexpr std::size_t kCluster = 4096;
    if (size == 0 || size > 1023) return 0;
    Header header;
    header.cluster_bytes = kCluster;
    header.table_clusters = 1;
    header.header_clusters = 1;
    header.features = feature::kBackingFile | feature::kBackingIsRaw;
    header.l1_table_offset = {kCluster};
    header.image_bytes = kCluster;
    header.backing_name_offset = kHeaderBytes;
    header.backing_name_bytes = static_cast<std::uint32_t>(size);
    const auto raw = encode_header(header);
    std::string content(reinterpret_cast<const char*>(raw.data()), raw.size());
    content.append(reinterpret_cast<const char*>(data), size);
    const std::string path = folders.inner + "/i";
    write_file(path, content, 2 * kCluster);

    const std::string inside = folders.inner + "/";
    const std::string below = folders.inner + "/sub";
    try_rule(path, {.rule = BackingRule::same_directory}, inside);
    try_rule(path, {.rule = BackingRule::none}, "nowhere");
    try_rule(path, {.rule = BackingRule::below_directory, .directory = below.c_str()}, below + "/");
    try_rule(path, {.rule = BackingRule::below_directory, .directory = folders.outer.c_str()},
             folders.outer + "/");
    return 0;
}
