// SPDX-License-Identifier: Apache-2.0
#pragma once

// nbdkit requires the version before its header, the same version in all files.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
