// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "qed/image.hpp"
#include "qed/qed.h"

/// The handle of a C program.
struct qed_image {
    std::unique_ptr<qed::Image> image;
};
