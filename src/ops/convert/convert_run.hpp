// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/sequential_writer.hpp"
#include "ops/convert/convert_source.hpp"
#include "qed/convert.hpp"
#include "qed/error.hpp"

namespace qed {

/// Copies `source` into `target` with several threads.
Result<ConvertReport> run_convert(const ConvertSource& source, SequentialWriter& target,
                                  const ConvertOptions& options);

}  // namespace qed
