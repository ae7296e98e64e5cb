// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/convert_stream.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "cli/disks/descriptor.hpp"

namespace qed::cli {
namespace {

constexpr std::size_t kPieceBytes = 1U << 20U;

std::unexpected<Error> failed(const std::string& path) {
    const int code = errno;
    return std::unexpected(
        Error::from_errno(code, fmt::format("writing to '{}': {}", path, std::strerror(code))));
}

/// A socket cannot be opened by its name in /dev, so standard output is duplicated.
Descriptor open_stream(const std::string& path) {
    if (is_standard_output(path)) return Descriptor(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    return Descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
}

Result<void> write_all(int stream, std::span<const std::byte> bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(stream, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failed(path);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

}  // namespace

bool is_stream(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return false;
    return S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode);
}

bool is_standard_output(const std::string& path) {
    struct stat named{};
    struct stat output{};
    return ::stat(path.c_str(), &named) == 0 && ::fstat(STDOUT_FILENO, &output) == 0 &&
           named.st_dev == output.st_dev && named.st_ino == output.st_ino;
}

Result<void> write_stream(std::span<Image* const> sources, std::uint64_t begin,
                          std::uint64_t length, const std::string& path, const Progress& progress) {
    const Descriptor stream = open_stream(path);
    if (!stream) return failed(path);
    std::vector<std::byte> buffer(kPieceBytes);
    std::uint64_t done = 0;
    for (Image* source : sources) {
        std::uint64_t at = std::min(begin, source->size());
        begin -= at;
        while (at < source->size() && done < length) {
            const std::uint64_t left = std::min(source->size() - at, length - done);
            const auto piece = std::span(buffer).first(std::min<std::uint64_t>(left, kPieceBytes));
            QED_CHECK(source->read_blocking(GuestOffset{at}, piece));
            QED_CHECK(write_all(stream.get(), piece, path));
            at += piece.size();
            done += piece.size();
            QED_CHECK(progress.report(done, length, "a part of the disk was written"));
        }
    }
    return {};
}

}  // namespace qed::cli
