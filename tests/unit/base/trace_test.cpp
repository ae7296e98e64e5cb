// SPDX-License-Identifier: Apache-2.0
#include "base/trace.hpp"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

namespace qed {
namespace {

TEST(TraceTest, AProbeIsInTheProgramWithItsProviderAndName) {
    const std::uint64_t offset = 42;
    QED_TRACE(probe_of_this_test, offset, this);
    QED_TRACE(probe_without_arguments);

    std::ifstream program("/proc/self/exe", std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(program), {}};
    using namespace std::string_literals;
    EXPECT_NE(bytes.find("qed\0probe_of_this_test\0"s), std::string::npos);
    EXPECT_NE(bytes.find("qed\0probe_without_arguments\0"s), std::string::npos);
}

}  // namespace
}  // namespace qed
