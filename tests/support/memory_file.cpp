// SPDX-License-Identifier: Apache-2.0
#include "support/memory_file.hpp"

#include <algorithm>
#include <cstring>

#include "base/endian.hpp"

namespace qed::test {

MemoryFile::MemoryFile(const MemoryFile& other) : bytes_(other.bytes_), pages_(other.pages_) {}

bool MemoryFile::start(IoOp& op) noexcept {
    const std::scoped_lock lock(mutex_);
    op.error = run(op);
    return false;
}

Result<std::uint64_t> MemoryFile::size() noexcept {
    const std::scoped_lock lock(mutex_);
    return bytes_;
}

Result<BlockFile::DataRange> MemoryFile::next_data(std::uint64_t at) noexcept {
    const std::scoped_lock lock(mutex_);
    auto page = pages_.lower_bound(at / kPageBytes);
    if (at >= bytes_ || page == pages_.end()) return DataRange{bytes_, bytes_};
    const std::uint64_t begin = std::max(at, page->first * kPageBytes);
    std::uint64_t last = page->first;
    while (++page != pages_.end() && page->first == last + 1)
        last = page->first;
    return DataRange{begin, std::min(bytes_, (last + 1) * kPageBytes)};
}

bool MemoryFile::is_failing(const IoOp& op) {
    if (fault && fault->only && *fault->only != op.kind) return false;
    ++requests;
    if (!fault) return false;
    return fault->sticky ? requests >= fault->nth : requests == fault->nth;
}

bool MemoryFile::is_too_long(const IoOp& op) const {
    switch (op.kind) {
        case IoKind::write:
        case IoKind::allocate:
            return op.length > max_bytes || op.offset > max_bytes - op.length;
        case IoKind::truncate:
            return op.offset > max_bytes;
        default:
            return false;
    }
}

int MemoryFile::run(IoOp& op) {
    const bool fails = is_failing(op);
    if (fails && (op.kind != IoKind::write || !fault->tears)) return fault->error;
    if (op.kind != IoKind::read && op.kind != IoKind::flush && read_only) return EBADF;
    if (is_too_long(op)) return ENOSPC;
    if (space_left && !take_space(op)) return ENOSPC;
    std::uint64_t left = fails ? op.length / 2 / kSectorBytes * kSectorBytes : op.length;
    std::uint64_t at = op.offset;
    switch (op.kind) {
        case IoKind::read:
            if (unreadable && at < unreadable->end && at + left > unreadable->begin) return EIO;
            for (unsigned i = 0; i < op.buffer_count; ++i) {
                const iovec& buffer = op.vector()[i];
                read_into(at, {static_cast<std::byte*>(buffer.iov_base), buffer.iov_len});
                at += buffer.iov_len;
            }
            bytes_read += op.length;
            break;
        case IoKind::write:
            for (unsigned i = 0; i < op.buffer_count && left > 0; ++i) {
                const iovec& buffer = op.vector()[i];
                const std::uint64_t now = std::min<std::uint64_t>(left, buffer.iov_len);
                const std::span data(static_cast<const std::byte*>(buffer.iov_base), now);
                store(at, data);
                remember(IoKind::write, at, now, data);
                at += now;
                left -= now;
            }
            break;
        case IoKind::flush:
            remember(IoKind::flush, 0, 0, {});
            break;
        case IoKind::truncate:
            resize(op.offset);
            remember(IoKind::truncate, op.offset, 0, {});
            break;
        case IoKind::punch:
            erase(op.offset, std::min(bytes_, op.offset + op.length));
            remember(IoKind::punch, op.offset, op.length, {});
            break;
        case IoKind::allocate:
            if (op.offset + op.length > bytes_) {
                resize(op.offset + op.length);
                remember(IoKind::truncate, op.offset + op.length, 0, {});
            }
            break;
    }
    return fails ? fault->error : 0;
}

// What is written or reserved in holes takes space, in pages.
bool MemoryFile::take_space(const IoOp& op) {
    if (op.length == 0 || (op.kind != IoKind::write && op.kind != IoKind::allocate)) return true;
    std::vector<std::uint64_t> holes;
    const std::uint64_t last = (op.offset + op.length - 1) / kPageBytes;
    for (std::uint64_t page = op.offset / kPageBytes; page <= last; ++page) {
        if (!pages_.contains(page)) holes.push_back(page);
    }
    if (holes.size() * kPageBytes > *space_left) return false;
    *space_left -= holes.size() * kPageBytes;
    for (const std::uint64_t page : holes)
        pages_[page].fill(std::byte{0});
    return true;
}

void MemoryFile::remember(IoKind kind, std::uint64_t offset, std::uint64_t length,
                          std::span<const std::byte> data) {
    if (history == nullptr) return;
    history->push_back({kind, offset, length, {data.begin(), data.end()}});
}

void MemoryFile::apply(const FileChange& change) {
    switch (change.kind) {
        case IoKind::write:
            store(change.offset, change.data);
            break;
        case IoKind::truncate:
            resize(change.offset);
            break;
        case IoKind::punch:
            erase(change.offset, std::min(bytes_, change.offset + change.length));
            break;
        default:
            break;
    }
}

void MemoryFile::read_into(std::uint64_t at, std::span<std::byte> out) const {
    while (!out.empty()) {
        const std::uint64_t in_page = at % kPageBytes;
        const auto part = out.first(std::min<std::size_t>(out.size(), kPageBytes - in_page));
        const auto page = pages_.find(at / kPageBytes);
        if (page == pages_.end()) {
            std::ranges::fill(part, std::byte{0});
        } else {
            std::memcpy(part.data(), page->second.data() + in_page, part.size());
        }
        at += part.size();
        out = out.subspan(part.size());
    }
}

std::vector<std::byte> MemoryFile::load(std::uint64_t at, std::uint64_t bytes) const {
    std::vector<std::byte> out(bytes);
    read_into(at, out);
    return out;
}

void MemoryFile::store(std::uint64_t at, std::span<const std::byte> data) {
    bytes_ = std::max(bytes_, at + data.size());
    while (!data.empty()) {
        const std::uint64_t in_page = at % kPageBytes;
        const auto part = data.first(std::min<std::size_t>(data.size(), kPageBytes - in_page));
        auto [page, is_new] = pages_.try_emplace(at / kPageBytes);
        if (is_new) page->second.fill(std::byte{0});
        std::memcpy(page->second.data() + in_page, part.data(), part.size());
        at += part.size();
        data = data.subspan(part.size());
    }
}

std::uint64_t MemoryFile::load_u64(std::uint64_t at) const {
    return load_le64(load(at, sizeof(std::uint64_t)), 0);
}

void MemoryFile::store_u64(std::uint64_t at, std::uint64_t value) {
    std::array<std::byte, sizeof value> raw;
    store_le64(raw, 0, value);
    store(at, raw);
}

void MemoryFile::fill(std::uint64_t at, std::uint64_t bytes, std::byte value) {
    store(at, std::vector<std::byte>(bytes, value));
}

void MemoryFile::erase(std::uint64_t begin, std::uint64_t end) {
    while (begin < end) {
        const std::uint64_t in_page = begin % kPageBytes;
        const std::uint64_t part = std::min(end - begin, kPageBytes - in_page);
        if (part == kPageBytes) {
            // Erases whole pages with one call: a range may be terabytes long and mostly holes.
            const auto first = pages_.lower_bound(begin / kPageBytes);
            const auto last = pages_.lower_bound(end / kPageBytes);
            pages_.erase(first, last);
            begin = std::max(begin + kPageBytes, end / kPageBytes * kPageBytes);
            continue;
        }
        const auto page = pages_.find(begin / kPageBytes);
        if (page != pages_.end()) {
            std::memset(page->second.data() + in_page, 0, part);
        }
        begin += part;
    }
}

void MemoryFile::resize(std::uint64_t bytes) {
    if (bytes < bytes_) {
        const std::uint64_t past_page = (bytes_ + kPageBytes - 1) / kPageBytes * kPageBytes;
        erase(bytes, past_page);
    }
    bytes_ = bytes;
}

bool operator==(const MemoryFile& a, const MemoryFile& b) {
    if (a.bytes_ != b.bytes_) return false;
    const auto contains = [](const MemoryFile& whole, const MemoryFile& part) {
        return std::ranges::all_of(part.pages_, [&](const auto& page) {
            MemoryFile::Page other;
            whole.read_into(page.first * MemoryFile::kPageBytes, other);
            return other == page.second;
        });
    };
    return contains(a, b) && contains(b, a);
}

}  // namespace qed::test
