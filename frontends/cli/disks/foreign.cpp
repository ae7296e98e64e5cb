// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/foreign.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/disks/descriptor.hpp"
#include "qed/nbd.hpp"

namespace qed::cli {
namespace {

constexpr int kExecFailed = 127;
constexpr int kFirstPassed = 3;  // the socket's number in systemd's protocol
constexpr std::size_t kMaxOutputBytes = 16U << 20U;
constexpr unsigned kConnections = 4;

std::unexpected<Error> system_error(const std::string& what) {
    const int code = errno;
    return std::unexpected(
        Error::from_errno(code, fmt::format("{}: {}", what, std::strerror(code))));
}

/// A file without a name that receives the output of a program.
class Capture {
public:
    static Result<Capture> make() {
        Capture capture;
        capture.file_ = Descriptor(::memfd_create("qed-output", MFD_CLOEXEC));
        if (!capture.file_) return system_error("making room for a program's output");
        return capture;
    }
    int descriptor() const { return file_.get(); }
    std::string text() const {
        std::string text;
        std::array<char, 4096> piece{};
        for (off_t at = 0; text.size() < kMaxOutputBytes;) {
            const ssize_t count = ::pread(file_.get(), piece.data(), piece.size(), at);
            if (count <= 0) break;
            text.append(piece.data(), static_cast<std::size_t>(count));
            at += count;
        }
        return text;
    }

private:
    Capture() = default;
    Descriptor file_;
};

/// A program's error message, without the program's name and the end of the line.
std::string complaint(const Capture& errors, std::string_view program) {
    std::string text = errors.text();
    const std::string prefix = std::string(program) + ": ";
    for (std::size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
        text.erase(at, prefix.size());
    }
    while (text.ends_with('\n'))
        text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text.empty() ? "it ended without a message" : text;
}

std::unexpected<Error> not_installed(std::string_view program) {
    return fail(Errc::unsupported,
                fmt::format("formats other than raw and qed need {}, which is not installed; on "
                            "Debian: apt-get install qemu-utils",
                            program));
}

/// In the child: becomes the program, or ends with kExecFailed.
[[noreturn]] void become(std::vector<std::string> words, int out, int err) {
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::execvp(argv[0], argv.data());
    ::_exit(kExecFailed);
}

Result<int> wait_for(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return system_error("waiting for a program");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Runs a program to its end. \returns its output
Result<std::string> run(const std::vector<std::string>& words) {
    auto out = Capture::make();
    auto err = Capture::make();
    if (!out) return pass(out);
    if (!err) return pass(err);
    const pid_t child = ::fork();
    if (child < 0) return system_error(fmt::format("starting {}", words[0]));
    if (child == 0) become(words, out->descriptor(), err->descriptor());
    auto status = wait_for(child);
    if (!status) return pass(status);
    if (*status == kExecFailed) return not_installed(words[0]);
    if (*status != 0) {
        return fail(Errc::io_error,
                    fmt::format("{} failed: {}", words[0], complaint(*err, words[0])));
    }
    return out->text();
}

/// An absolute path, which QEMU's programs never treat as a protocol.
std::string absolute(const std::string& path) {
    std::error_code error;
    return std::filesystem::absolute(path, error).string();
}

/// Fails if reading the image would make QEMU open files that only the image names.
Result<void> check_leads_nowhere(const std::string& path, const std::string& format) {
    auto printed = run({"qemu-img", "info", "-U", "-f", format, "--output=json", absolute(path)});
    if (!printed) return pass(printed);
    const auto info = nlohmann::json::parse(*printed, nullptr, false);
    if (info.is_discarded()) {
        return fail(Errc::io_error, fmt::format("qemu-img info printed nothing about '{}'", path));
    }
    const auto refuse = [&](const std::string& other) {
        return fail(Errc::backing_refused,
                    fmt::format("'{}' names the file '{}'; if you trust it, pass --backing=any",
                                path, other));
    };
    if (info.contains("backing-filename")) return refuse(info["backing-filename"].dump());
    const auto data = info.value("/format-specific/data"_json_pointer, nlohmann::json::object());
    if (data.contains("data-file")) return refuse(data["data-file"].dump());
    for (const auto& extent : data.value("extents", nlohmann::json::array())) {
        const std::string name = extent.value("filename", std::string());
        if (absolute(name) != absolute(path)) return refuse(name);
    }
    return {};
}

/// The arguments of qemu-nbd for the image.
std::vector<std::string> server_words(const std::string& path, const std::string& format,
                                      const ForeignOptions& options) {
    std::vector<std::string> words = {"qemu-nbd", "--persistent",
                                      fmt::format("--shared={}", kConnections), "--discard=unmap",
                                      fmt::format("--cache={}", options.cache)};
    if (!options.writable) words.emplace_back("--read-only");
    if (!options.shared) {
        words.push_back("--format=" + format);
        words.push_back(absolute(path));
        return words;
    }
    std::string name = absolute(path);
    for (std::size_t at = name.find(','); at != std::string::npos; at = name.find(',', at + 2)) {
        name.insert(at, 1, ',');
    }
    words.emplace_back("--image-opts");
    words.push_back(fmt::format("driver={},force-share=on,file.filename={}", format, name));
    return words;
}

/// A listening socket in a folder that only this user can enter.
struct PrivateSocket {
    std::string directory;
    std::string path;
    Descriptor listener;
};

Result<PrivateSocket> make_socket() {
    const char* const base = std::getenv("TMPDIR");
    std::string pattern = fmt::format("{}/qed-XXXXXX", base != nullptr ? base : "/tmp");
    if (::mkdtemp(pattern.data()) == nullptr) return system_error("making a private folder");
    PrivateSocket made{pattern, pattern + "/nbd", {}};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (made.path.size() >= sizeof address.sun_path) {
        ::rmdir(pattern.c_str());
        return fail(
            Errc::invalid_argument,
            fmt::format("'{}' is too long for a socket; set TMPDIR to a shorter one", made.path));
    }
    std::memcpy(address.sun_path, made.path.data(), made.path.size());
    made.listener = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(made.listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(made.listener.get(), SOMAXCONN) != 0) {
        auto failed = system_error(fmt::format("listening on '{}'", made.path));
        ::unlink(made.path.c_str());
        ::rmdir(pattern.c_str());
        return failed;
    }
    return made;
}

/// In the child: passes the socket as systemd would.
[[noreturn]] void become_server(const std::vector<std::string>& words, int listener, int err,
                                pid_t parent) {
    // Ctrl-C is for this program only: the server has to answer until the copy ends.
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kExecFailed);
    const int error_copy = ::fcntl(err, F_DUPFD_CLOEXEC, kFirstPassed + 1);
    if (listener == kFirstPassed) {
        ::fcntl(listener, F_SETFD, 0);
    } else {
        ::dup2(listener, kFirstPassed);
    }
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", "1", 1);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    become(words, null, error_copy);
}

}  // namespace

bool is_foreign_format(std::string_view format) {
    constexpr std::array<std::string_view, 10> known = {
        "qcow2", "qcow", "vmdk", "vdi", "vhdx", "vpc", "parallels", "dmg", "bochs", "cloop"};
    return std::ranges::find(known, format) != known.end();
}

Result<std::unique_ptr<ForeignImage>> ForeignImage::open(const std::string& path,
                                                         const std::string& format,
                                                         const ForeignOptions& options) {
    if (!options.any_backing) QED_CHECK(check_leads_nowhere(path, format));
    QED_CHECK(load_nbd());
    auto errors = Capture::make();
    if (!errors) return pass(errors);
    auto socket = make_socket();
    if (!socket) return pass(socket);
    std::unique_ptr<ForeignImage> image(new ForeignImage);
    image->directory_ = socket->directory;
    const std::vector<std::string> words = server_words(path, format, options);
    const pid_t parent = ::getpid();
    image->server_ = ::fork();
    if (image->server_ < 0) return system_error("starting qemu-nbd");
    if (image->server_ == 0) {
        become_server(words, socket->listener.get(), errors->descriptor(), parent);
    }
    // The server now has the only copy: when it ends, connecting fails instead of waiting.
    socket->listener.close();
    NbdOptions nbd;
    nbd.writable = options.writable;
    nbd.connections = kConnections;
    auto file = open_nbd(fmt::format("nbd+unix:///?socket={}", socket->path), nbd);
    if (!file) {
        ::kill(image->server_, SIGTERM);
        auto status = wait_for(image->server_);
        image->server_ = -1;
        if (status && *status == kExecFailed) return not_installed("qemu-nbd");
        return fail(Errc::io_error, fmt::format("qemu-nbd cannot open '{}' as {}: {}", path, format,
                                                complaint(*errors, "qemu-nbd")));
    }
    image->file_ = std::move(*file);
    return image;
}

Result<void> ForeignImage::create(const std::string& path, const std::string& format,
                                  const std::vector<std::string>& options, std::uint64_t bytes) {
    std::vector<std::string> words = {"qemu-img", "create", "-q", "-f", format};
    for (const std::string& list : options) {
        words.emplace_back("-o");
        words.push_back(list);
    }
    words.push_back(absolute(path));
    words.push_back(std::to_string(bytes));
    auto done = run(words);
    if (!done) return pass(done);
    return {};
}

Result<void> ForeignImage::close() {
    file_.reset();
    if (server_ < 0) return {};
    ::kill(server_, SIGTERM);
    auto status = wait_for(server_);
    server_ = -1;
    if (!status) return pass(status);
    if (*status == 0) return {};
    return fail(Errc::io_error,
                fmt::format("qemu-nbd did not close the image: status {}", *status));
}

ForeignImage::~ForeignImage() {
    if (auto closed = close(); !closed) file_.reset();
    if (directory_.empty()) return;
    ::unlink((directory_ + "/nbd").c_str());
    ::rmdir(directory_.c_str());
}

}  // namespace qed::cli
