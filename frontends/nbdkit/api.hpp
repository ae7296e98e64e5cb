// SPDX-License-Identifier: Apache-2.0
#pragma once

// nbdkit wants the version stated before its header, the same one everywhere.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
