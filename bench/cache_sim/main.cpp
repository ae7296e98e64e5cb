// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "experiment.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

using namespace qed::cache_sim;

constexpr int kFailed = 1;

int run(int argc, const char* const* argv) {
    const auto options = parse_options(argc, argv);
    if (!options) {
        const Stop& stop = options.error();
        fmt::print(stop.exit_status == 0 ? stdout : stderr, "{}", stop.message);
        return stop.exit_status;
    }
    const auto results = run_experiment(*options);
    if (!results) {
        fmt::print(stderr, "qed-cache-sim: {}\n", results.error());
        return kFailed;
    }
    fmt::print("{}",
               options->json ? json_report(*options, *results) : text_report(*options, *results));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "qed-cache-sim: {}\n", error.what());
        return kFailed;
    }
}
