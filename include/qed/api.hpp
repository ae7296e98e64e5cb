// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Exports the declaration that follows it from libqed.so. The library is built with hidden
/// visibility. A function that a public header declares and another file defines needs this mark,
/// and so does a class that has such members or virtual functions. A function that the header
/// defines does not need it.
/// qed/qed.h, the interface for C, exports everything that it declares.
#define QED_API [[gnu::visibility("default")]]
