// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include <fmt/format.h>

#include "base/math.hpp"
#include "base/mutex.hpp"
#include "io/direct/direct_file.hpp"
#include "io/nbd/nbd_library.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "qed/nbd.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kRequestBytes = 32U << 20U;  // every server accepts this
constexpr std::uint64_t kStatusBytes = 1U << 30U;
constexpr std::chrono::milliseconds kPatience{250};
constexpr const char* kAllocation = "base:allocation";

std::unexpected<Error> failure(const NbdLibrary& nbd, std::string_view name,
                               std::string_view what) {
    const char* const text = nbd.get_error();
    const int error = nbd.get_errno() != 0 ? nbd.get_errno() : EIO;
    return std::unexpected(Error::from_errno(
        error, fmt::format("{}: {}: {}", name, what, text != nullptr ? text : "unknown error")));
}

struct CloseHandle {
    const NbdLibrary* nbd = nullptr;

    void operator()(nbd_handle* handle) const noexcept {
        nbd->shutdown(handle, 0);
        nbd->close(handle);
    }
};
using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

Result<Handle> make_handle(const NbdLibrary& nbd, const std::string& uri) {
    Handle handle(nbd.create(), CloseHandle{&nbd});
    if (!handle) return failure(nbd, uri, "making an NBD client");
    if (nbd.add_meta_context(handle.get(), kAllocation) != 0 ||
        nbd.set_uri_allow_local_file(handle.get(), true) != 0) {
        return failure(nbd, uri, "preparing to connect");
    }
    return handle;
}

/// One more connection, or nothing: a server with one client makes the next client wait.
Handle try_connect(const NbdLibrary& nbd, const std::string& uri) {
    auto handle = make_handle(nbd, uri);
    if (!handle || nbd.aio_connect_uri(handle->get(), uri.c_str()) != 0) return nullptr;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (nbd.aio_is_ready(handle->get()) != 1) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0 || nbd.poll(handle->get(), static_cast<int>(left.count())) != 1) {
            nbd.close(handle->release());
            return nullptr;
        }
    }
    return std::move(*handle);
}

class NbdFile final : public BlockFile {
public:
    /// \param block  the server accepts only multiples of this
    NbdFile(const NbdLibrary& nbd, std::string name, std::vector<Handle> handles, bool writable,
            std::uint64_t bytes, std::uint32_t block)
        : nbd_(nbd),
          name_(std::move(name)),
          bytes_(bytes),
          block_(block),
          writable_(writable),
          handles_(std::move(handles)) {
        nbd_handle* const first = handles_.front().get();
        can_zero_ = nbd_.can_zero(first) == 1;
        can_flush_ = nbd_.can_flush(first) == 1;
        has_status_ = nbd_.can_meta_context(first, kAllocation) == 1;
        for (const Handle& handle : handles_)
            idle_.push_back(handle.get());
    }

    bool start(IoOp& op) noexcept override {
        try {
            op.error = run(op);
        } catch (const std::bad_alloc&) {
            op.error = ENOMEM;
        }
        return false;
    }
    Result<std::uint64_t> size() noexcept override { return bytes_; }
    Alignment alignment() const noexcept override { return {.offset = block_, .memory = 1}; }
    StorageTraits traits() const noexcept override { return {.can_punch = can_zero_}; }
    bool is_read_only() const noexcept override { return !writable_; }
    std::string_view name() const noexcept override { return name_; }
    Result<DataRange> next_data(std::uint64_t at) noexcept override;

private:
    struct StatusRun {
        std::uint64_t end = 0;
        bool zero = false;
    };

    /// One connection for the duration of one request.
    class Lease {
    public:
        explicit Lease(NbdFile& file) : file_(file) {
            const ScopedLock lock(file_.mutex_);
            while (file_.idle_.empty())
                file_.returned_.wait(file_.mutex_);
            handle_ = file_.idle_.back();
            file_.idle_.pop_back();
        }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        ~Lease() {
            {
                const ScopedLock lock(file_.mutex_);
                file_.idle_.push_back(handle_);
            }
            file_.returned_.notify_one();
        }
        nbd_handle* get() const { return handle_; }

    private:
        NbdFile& file_;
        nbd_handle* handle_;
    };

    int last_error() const;
    int run(IoOp& op);
    int transfer(nbd_handle* handle, IoOp& op) const;
    int read_piece(nbd_handle* handle, std::byte* to, std::uint64_t length, std::uint64_t at) const;
    int zero(nbd_handle* handle, const IoOp& op, std::uint32_t flags);
    void forget_status();
    Result<void> load_status(std::uint64_t at) QED_REQUIRES(status_mutex_);
    static int collect(void* context, const char* kind, std::uint64_t offset,
                       std::uint32_t* entries, std::size_t count, int* error);

    const NbdLibrary& nbd_;
    const std::string name_;
    const std::uint64_t bytes_;
    const std::uint32_t block_;
    const bool writable_;
    bool can_zero_ = false;
    bool can_flush_ = false;
    bool has_status_ = false;
    const std::vector<Handle> handles_;
    Mutex mutex_;
    ConditionVariable returned_;
    std::vector<nbd_handle*> idle_ QED_GUARDED_BY(mutex_);
    Mutex status_mutex_;  // taken before mutex_, because a status request takes a connection
    std::uint64_t status_begin_ QED_GUARDED_BY(status_mutex_) = 0;
    std::vector<StatusRun> status_ QED_GUARDED_BY(status_mutex_);  ///< the last answer
};

int NbdFile::last_error() const {
    const int error = nbd_.get_errno();
    return error != 0 ? error : EIO;
}

int NbdFile::run(IoOp& op) {
    const Lease lease(*this);
    nbd_handle* const handle = lease.get();
    switch (op.kind) {
        case IoKind::read:
            return transfer(handle, op);
        case IoKind::write:
            forget_status();
            return transfer(handle, op);
        case IoKind::flush:
            return !can_flush_ || nbd_.flush(handle, 0) == 0 ? 0 : last_error();
        case IoKind::truncate:
            return op.offset == bytes_ ? 0 : EOPNOTSUPP;  // an export keeps its size
        case IoKind::punch:
            return zero(handle, op, 0);
        case IoKind::allocate:
            return zero(handle, op, LIBNBD_CMD_FLAG_NO_HOLE);
    }
    return EOPNOTSUPP;
}

int NbdFile::transfer(nbd_handle* handle, IoOp& op) const {
    std::uint64_t at = op.offset;
    for (unsigned i = 0; i < op.buffer_count; ++i) {
        auto* bytes = static_cast<std::byte*>(op.vector()[i].iov_base);
        std::uint64_t left = op.vector()[i].iov_len;
        while (left > 0) {
            const std::uint64_t length = std::min(left, kRequestBytes);
            if (op.kind == IoKind::read) {
                if (const int error = read_piece(handle, bytes, length, at); error != 0) {
                    return error;
                }
            } else if (nbd_.pwrite(handle, bytes, length, at, 0) != 0) {
                return last_error();
            }
            bytes += length;
            at += length;
            left -= length;
        }
    }
    return 0;
}

/// Bytes past the end of the export are zero, like those of every file.
int NbdFile::read_piece(nbd_handle* handle, std::byte* to, std::uint64_t length,
                        std::uint64_t at) const {
    const std::uint64_t inside = at < bytes_ ? std::min(length, bytes_ - at) : 0;
    std::fill(to + inside, to + length, std::byte{0});
    if (inside == 0) return 0;
    return nbd_.pread(handle, to, inside, at, 0) == 0 ? 0 : last_error();
}

int NbdFile::zero(nbd_handle* handle, const IoOp& op, std::uint32_t flags) {
    // The caller writes zeroes instead.
    if (!can_zero_ || (op.offset | op.length) % block_ != 0) return EOPNOTSUPP;
    forget_status();
    for (std::uint64_t done = 0; done < op.length;) {
        const std::uint64_t length = std::min(op.length - done, kStatusBytes);
        if (nbd_.zero(handle, length, op.offset + done, flags) != 0) return last_error();
        done += length;
    }
    return 0;
}

void NbdFile::forget_status() {
    const ScopedLock lock(status_mutex_);
    status_.clear();
}

int NbdFile::collect(void* context, const char* kind, std::uint64_t offset, std::uint32_t* entries,
                     std::size_t count, int*) {
    if (std::string_view(kind) != kAllocation) return 0;
    auto& runs = *static_cast<std::vector<StatusRun>*>(context);
    for (std::size_t i = 0; i + 1 < count; i += 2) {
        offset += entries[i];
        runs.push_back({offset, (entries[i + 1] & LIBNBD_STATE_ZERO) != 0});
    }
    return 0;
}

Result<void> NbdFile::load_status(std::uint64_t at) {
    const bool is_known = !status_.empty() && at >= status_begin_ && at < status_.back().end;
    if (is_known) return {};
    status_.clear();
    at = round_down(at, block_);
    status_begin_ = at;
    const Lease lease(*this);
    const nbd_extent_callback callback{.callback = collect, .user_data = &status_, .free = nullptr};
    const std::uint64_t length = std::min(bytes_ - at, kStatusBytes);
    if (nbd_.block_status(lease.get(), length, at, callback, 0) != 0) {
        status_.clear();
        return failure(nbd_, name_, fmt::format("asking for the block status at {:#x}", at));
    }
    if (status_.empty() || status_.back().end <= at) {
        status_.clear();
        return fail(Errc::io_error,
                    fmt::format("{}: the server returned no block status at {:#x}", name_, at));
    }
    return {};
}

Result<BlockFile::DataRange> NbdFile::next_data(std::uint64_t at) noexcept {
    if (!has_status_ || at >= bytes_) return BlockFile::next_data(at);
    try {
        const ScopedLock lock(status_mutex_);
        DataRange range{at, at};
        bool in_data = false;
        while (range.end < bytes_) {
            QED_CHECK(load_status(range.end));
            for (const StatusRun& run : status_) {
                if (run.end <= range.end) continue;
                if (in_data && run.zero) return range;
                range.end = std::min(run.end, bytes_);
                if (run.zero) {
                    range.begin = range.end;
                } else {
                    in_data = true;
                }
            }
            // The next reply may continue this data; the caller asks again.
            if (in_data) return range;
        }
        return range;
    } catch (const std::bad_alloc&) {
        return std::unexpected(Error::out_of_memory());
    }
}

/// The unit of the server's requests; 1 where it has not stated one.
std::uint32_t least_block(const NbdLibrary& nbd, nbd_handle* handle) {
    const std::int64_t stated = nbd.get_block_size(handle, LIBNBD_SIZE_MINIMUM);
    // The protocol allows powers of two up to 64 KiB.
    const bool is_legal = stated > 1 && stated <= 65536 && (stated & (stated - 1)) == 0;
    return is_legal ? static_cast<std::uint32_t>(stated) : 1;
}

}  // namespace

Result<std::unique_ptr<BlockFile>> open_nbd(const std::string& uri, const NbdOptions& options) {
    const auto library = NbdLibrary::load();
    if (!library) {
        return std::unexpected(library.error().clone().with_context(fmt::format("'{}'", uri)));
    }
    const NbdLibrary& nbd = **library;
    const StandardDescriptorsHeld held;  // for the sockets
    auto first = make_handle(nbd, uri);
    if (!first) return pass(first);
    if (nbd.connect_uri(first->get(), uri.c_str()) != 0) return failure(nbd, uri, "connecting");
    const std::int64_t bytes = nbd.get_size(first->get());
    if (bytes < 0) return failure(nbd, uri, "asking for the size");
    if (options.writable && nbd.is_read_only(first->get()) == 1) {
        return fail(Errc::read_only, fmt::format("{}: the server's export is read-only", uri));
    }
    // If a flush on one connection does not cover the others, use only one.
    const std::uint32_t block = least_block(nbd, first->get());
    const bool shares = nbd.can_multi_conn(first->get()) == 1;
    std::vector<Handle> handles;
    handles.push_back(std::move(*first));
    while (shares && handles.size() < options.connections) {
        Handle next = try_connect(nbd, uri);
        if (!next) break;
        handles.push_back(std::move(next));
    }
    auto file = std::make_unique<NbdFile>(nbd, uri, std::move(handles), options.writable,
                                          static_cast<std::uint64_t>(bytes), block);
    if (block == 1) return file;
    return std::make_unique<DirectFile>(std::move(file));
}

}  // namespace qed
