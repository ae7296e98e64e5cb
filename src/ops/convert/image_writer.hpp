// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "io/sequential_writer.hpp"
#include "qed/convert.hpp"
#include "qed/image.hpp"

namespace qed {

/// Writes into an existing image, through its own write path.
std::unique_ptr<SequentialWriter> make_image_writer(Image& image, const ConvertOptions& options);

}  // namespace qed
