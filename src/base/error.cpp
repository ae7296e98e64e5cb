// SPDX-License-Identifier: Apache-2.0
#include "qed/error.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <new>
#include <utility>

#include "base/assert.hpp"

namespace qed {

namespace {

struct ErrnoRow {
    Errc code;
    int value;
};

// Used in both directions. Code to errno: the code's first row. Errno to code: the errno's first
// row. Image-level codes use the errno that tells a C caller most among those that NBD can carry to
// a guest.
constexpr ErrnoRow kErrnos[] = {
    {Errc::invalid_argument, EINVAL},
    {Errc::invalid_argument, ENAMETOOLONG},
    {Errc::invalid_argument, EISDIR},
    {Errc::not_found, ENOENT},
    {Errc::not_found, ENOTDIR},
    {Errc::not_found, ENXIO},
    {Errc::not_found, ENODEV},
    {Errc::already_exists, EEXIST},
    {Errc::permission_denied, EACCES},
    {Errc::permission_denied, EPERM},
    {Errc::permission_denied, ELOOP},
    {Errc::io_error, EIO},
    {Errc::no_space, ENOSPC},
    {Errc::no_space, EDQUOT},
    {Errc::no_space, EFBIG},
    {Errc::out_of_memory, ENOMEM},
    {Errc::read_only, EROFS},
    {Errc::locked, EBUSY},
    {Errc::locked, ETXTBSY},
    {Errc::needs_check, EUCLEAN},
    {Errc::unsupported, EOPNOTSUPP},
    {Errc::unsupported, ENOSYS},
    {Errc::cancelled, ECANCELED},
    {Errc::out_of_range, EINVAL},
    {Errc::not_qed, EINVAL},
    {Errc::corrupt_metadata, EIO},
    {Errc::unsupported_feature, EOPNOTSUPP},
    {Errc::write_stopped, EIO},
    {Errc::backing_refused, EACCES},
};

constexpr std::array<std::string_view, 18> kNames = {
    "invalid_argument", "out_of_range",        "not_found",
    "already_exists",   "permission_denied",   "io_error",
    "no_space",         "out_of_memory",       "not_qed",
    "corrupt_metadata", "unsupported_feature", "needs_check",
    "read_only",        "write_stopped",       "locked",
    "backing_refused",  "unsupported",         "cancelled",
};
static_assert(kNames.size() == static_cast<std::size_t>(Errc::cancelled) + 1);

int errno_of(Errc code) noexcept {
    for (const ErrnoRow& row : kErrnos) {
        if (row.code == code) return row.value;
    }
    return EIO;
}

Errc code_of(int sys_errno) noexcept {
    for (const ErrnoRow& row : kErrnos) {
        if (row.value == sys_errno) return row.code;
    }
    return Errc::io_error;
}

/// The length in bytes of the control character at `i` (C0, DEL, or C1 in UTF-8), or 0.
std::size_t control_bytes(std::string_view text, std::size_t i) noexcept {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return 1;
    if (byte != 0xc2 || i + 1 == text.size()) return 0;
    const auto next = static_cast<unsigned char>(text[i + 1]);
    return next >= 0x80 && next < 0xa0 ? 2 : 0;
}

bool has_controls(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (control_bytes(text, i) > 0) return true;
    }
    return false;
}

void make_printable(std::string& message) noexcept {
    if (!has_controls(message)) return;
    try {
        message = printable(message);
    } catch (const std::bad_alloc&) {
        message.clear();
    }
}

}  // namespace

std::string printable(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string shown;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t controls = control_bytes(text, i);
        if (controls == 0) shown += text[i++];
        for (; controls > 0; --controls) {
            const auto byte = static_cast<unsigned char>(text[i++]);
            shown += "\\x";
            shown += kDigits[byte >> 4];
            shown += kDigits[byte & 15];
        }
    }
    return shown;
}

std::string_view to_string(Errc code) noexcept {
    const auto index = static_cast<std::size_t>(code);
    return index < kNames.size() ? kNames[index] : "unknown";
}

// Hidden: a class in a class that is exported would be exported with it.
struct [[gnu::visibility("hidden")]] Error::Detail {
    Errc code;
    int sys_errno;
    std::string message;

    /// Replaces every error that could not be allocated. Never destroyed, so that static objects
    /// may hold errors. The text fits into std::string without an allocation.
    static Detail* out_of_memory() noexcept {
        alignas(Detail) static std::byte storage[sizeof(Detail)];
        static auto* const shared =
            new (storage) Detail{Errc::out_of_memory, ENOMEM, std::string("out of memory")};
        return shared;
    }
    static Detail* create(Errc code, int sys_errno, std::string&& message) noexcept {
        make_printable(message);
        auto* detail = new (std::nothrow) Detail{code, sys_errno, std::move(message)};
        return detail != nullptr ? detail : out_of_memory();
    }
    static void release(Detail* detail) noexcept {
        if (detail != out_of_memory()) delete detail;
    }
};

Error::Error(Errc code, std::string message, int sys_errno) noexcept
    : detail_(Detail::create(code, sys_errno, std::move(message))) {}

Error Error::from_errno(int sys_errno, std::string message) noexcept {
    return Error(code_of(sys_errno), std::move(message), sys_errno);
}

Error Error::out_of_memory() noexcept {
    return Error(Detail::out_of_memory());
}

Error& Error::operator=(Error&& other) noexcept {
    if (this != &other) {
        Detail::release(detail_);
        detail_ = std::exchange(other.detail_, nullptr);
    }
    return *this;
}

Error::~Error() {
    Detail::release(detail_);
}

Errc Error::code() const noexcept {
    QED_ASSERT(detail_ != nullptr);
    return detail_->code;
}

int Error::sys_errno() const noexcept {
    QED_ASSERT(detail_ != nullptr);
    return detail_->sys_errno != 0 ? detail_->sys_errno : errno_of(detail_->code);
}

const std::string& Error::message() const noexcept {
    QED_ASSERT(detail_ != nullptr);
    return detail_->message;
}

Error Error::with_context(std::string_view context) && noexcept {
    QED_ASSERT(detail_ != nullptr);
    if (detail_ == Detail::out_of_memory()) return std::move(*this);
    try {
        std::string message;
        message.reserve(context.size() + 2 + detail_->message.size());
        message.append(context).append(": ").append(detail_->message);
        make_printable(message);
        detail_->message = std::move(message);
    } catch (const std::bad_alloc&) {
        // The error without the context still says what failed.
    }
    return std::move(*this);
}

Error Error::clone() const noexcept {
    QED_ASSERT(detail_ != nullptr);
    if (detail_ == Detail::out_of_memory()) return out_of_memory();
    try {
        return Error(detail_->code, detail_->message, detail_->sys_errno);
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    }
}

}  // namespace qed
