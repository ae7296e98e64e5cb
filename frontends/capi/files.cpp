// SPDX-License-Identifier: Apache-2.0
#include "qed/files.hpp"

#include <array>

#include "capi/guard.hpp"
#include "capi/handle.hpp"
#include "qed/check.hpp"
#include "qed/convert.hpp"
#include "qed/output_file.hpp"

// Operations on whole files: check, repair and convert.

using qed::Errc;
using qed::Result;
using qed::capi::fill_structure;
using qed::capi::guarded;
using qed::capi::require;
using qed::capi::require_choice;
using qed::capi::require_structure;
using qed::capi::structure_of;

namespace {

static_assert(std::to_underlying(qed::Repair::all) == QED_REPAIR_ALL);

Result<qed::LockRole> lock_for_check(const qed_check_options& options) {
    const bool repairs = options.repair != QED_REPAIR_NONE;
    if (repairs && options.lock == QED_LOCK_FORCE_SHARED) {
        return qed::fail(Errc::invalid_argument, "QED_LOCK_FORCE_SHARED cannot repair");
    }
    return qed::lock_role(static_cast<qed::LockMode>(options.lock), repairs);
}

qed_check_report c_report(const qed::CheckReport& from) {
    qed_check_report to{};
    to.total_clusters = from.total_clusters;
    to.allocated_clusters = from.allocated_clusters;
    to.corruptions = from.corruptions;
    to.leaks = from.leaks;
    to.corruptions_fixed = from.corruptions_fixed;
    to.leaks_fixed = from.leaks_fixed;
    to.check_errors = from.check_errors;
    to.is_dirty = from.is_dirty;
    to.free_clusters = from.free_clusters;
    return to;
}

Result<void> convert_into(qed::BlockFile& target, qed::Image& source,
                          const qed_convert_options& from) {
    qed::ConvertOptions how;
    how.sparse_bytes = from.keep_zeroes ? 0 : how.sparse_bytes;
    how.write_early = !from.no_flush;
    how.progress = {.callback = from.progress, .context = from.progress_context};
    const std::array<qed::Image*, 1> sources = {&source};
    if (from.target_format == QED_FORMAT_RAW) {
        how.target_is_zero = true;
        auto done = qed::convert_to_raw(sources, target, how);
        return done ? Result<void>{} : qed::pass(done);
    }
    qed::CreateOptions image;
    if (from.cluster_bytes != 0) image.cluster_bytes = from.cluster_bytes;
    if (from.table_clusters != 0) image.table_clusters = from.table_clusters;
    auto done = qed::convert_to_image(sources, target, image, how);
    return done ? Result<void>{} : qed::pass(done);
}

}  // namespace

int qed_check(const char* path, const qed_check_options* options, qed_check_report* report,
              qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        QED_CHECK(require_structure(report, "report"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        QED_CHECK(require_choice(from->repair, QED_REPAIR_ALL, "options.repair"));
        QED_CHECK(require_choice(from->lock, QED_LOCK_NONE, "options.lock"));
        const auto role = lock_for_check(*from);
        if (!role) return std::unexpected(role.error().clone());
        auto file =
            qed::open_file(path, {.writable = from->repair != QED_REPAIR_NONE, .lock = *role});
        if (!file) return qed::pass(file);
        qed::CheckOptions how;
        how.repair = static_cast<qed::Repair>(from->repair);
        how.threads = std::max(from->threads, 1U);
        how.progress = {.callback = from->progress, .context = from->progress_context};
        auto found = qed::sync_wait(qed::check_file(**file, how));
        if (!found) return qed::pass(found);
        return fill_structure(report, c_report(*found), "report");
    });
}

int qed_convert(qed_image* source, const char* target_path, const qed_convert_options* options,
                qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(source, "source"));
        QED_CHECK(require(target_path, "target_path"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        if (from->target_format != QED_FORMAT_RAW && from->target_format != QED_FORMAT_QED) {
            return qed::fail(Errc::invalid_argument,
                             "options.target_format must be QED_FORMAT_QED or QED_FORMAT_RAW");
        }
        auto target = qed::OutputFile::create(target_path, {.exclusive = true});
        if (!target) return qed::pass(target);
        QED_CHECK(convert_into((*target)->file(), *source->image, *from));
        return (*target)->publish(from->no_flush ? qed::Durability::none
                                                 : qed::Durability::content_and_name);
    });
}
