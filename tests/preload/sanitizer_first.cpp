// SPDX-License-Identifier: Apache-2.0
// Loaded into nbdkit together with the runtime of a sanitizer, and initialised before every other
// library (-z initfirst). A runtime initialises itself at the first allocation. Without this
// library that would be inside newlocale(), which libp11-kit calls when it is loaded. The runtime
// would then release libc's lock on locales while newlocale() holds it, and a later thread would
// wait forever.

#include <cstdlib>

namespace {

[[gnu::constructor]] void allocate_something() {
    void* volatile memory = std::malloc(1);
    std::free(memory);
}

}  // namespace
