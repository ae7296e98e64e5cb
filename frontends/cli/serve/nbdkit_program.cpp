// SPDX-License-Identifier: Apache-2.0
#include "cli/serve/nbdkit_program.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "cli/disks/descriptor.hpp"

namespace qed::cli {
namespace {

constexpr int kExecFailed = 127;
constexpr unsigned kSafeMajor = 1;
constexpr unsigned kSafeMinor = 34;

Result<std::string> find_path() {
    const char* path = std::getenv("PATH");
    std::string folders = path != nullptr ? path : "";
    folders += ":/usr/local/sbin:/usr/sbin";
    for (std::size_t begin = 0; begin < folders.size();) {
        std::size_t end = folders.find(':', begin);
        if (end == std::string::npos) end = folders.size();
        std::string candidate = folders.substr(begin, end - begin) + "/nbdkit";
        if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
        begin = end + 1;
    }
    return fail(Errc::not_found,
                "nbdkit, which serves the image, is not in PATH (Debian: apt-get install nbdkit)");
}

/// What `PROGRAM --version` prints; empty if that fails.
std::string version_text(const std::string& program) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    const Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(writing.get(), STDOUT_FILENO);
        ::execl(program.c_str(), "nbdkit", "--version", nullptr);
        ::_exit(kExecFailed);
    }
    writing.close();
    if (child < 0) return {};
    std::string text;
    std::array<char, 256> piece{};
    for (;;) {
        const ssize_t count = ::read(reading.get(), piece.data(), piece.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        text.append(piece.data(), static_cast<std::size_t>(count));
    }
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return text;
}

}  // namespace

std::string version_in(std::string_view text) {
    constexpr std::string_view kName = "nbdkit ";
    if (!text.starts_with(kName)) return {};
    text.remove_prefix(kName.size());
    return std::string(text.substr(0, text.find_first_not_of("0123456789.")));
}

bool NbdkitProgram::has_safe_threads() const {
    unsigned major = 0;
    unsigned minor = 0;
    const char* const end = version.data() + version.size();
    const auto first = std::from_chars(version.data(), end, major);
    if (first.ec != std::errc{} || first.ptr == end) return false;
    if (std::from_chars(first.ptr + 1, end, minor).ec != std::errc{}) return false;
    return major > kSafeMajor || (major == kSafeMajor && minor >= kSafeMinor);
}

Result<NbdkitProgram> find_nbdkit() {
    auto path = find_path();
    if (!path) return pass(path);
    std::string version = version_in(version_text(*path));
    return NbdkitProgram{std::move(*path), std::move(version)};
}

}  // namespace qed::cli
