// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Makes what it stands before a part of libqed.so's interface. The library is built with hidden
/// visibility: a function that a public header declares and another file defines needs this, and so
/// does a class with such members, or with virtual ones. What is defined in the header does not.
/// qed/qed.h, the interface for C, exports all that it declares.
#define QED_API [[gnu::visibility("default")]]
