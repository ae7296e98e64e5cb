// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <istream>
#include <string>

#include "trace.hpp"

namespace qed::cache_sim {

/// The columns of a CSV trace.
enum class CsvFormat {
    automatic,  ///< the number of columns in the first line decides: 5 is block, 2 is offset
    block,      ///< version,time,op,size_bytes,lba512: public block traces
    offset,     ///< offset,length: both in bytes
};

/// Reads a trace, one request per line. A first line that does not begin with a digit is a header
/// and is skipped; so are empty lines. Numbers are decimal; version, time and op are ignored. An
/// empty request is kept and touches no cluster.
///
/// \errors  with `name` and the line number: wrong number of columns, not a number, out of range,
///          a line over 256 bytes, more than kMaxLookups lines, no request at all, unreadable
/// \cost    16 bytes of memory per line
std::expected<Trace, std::string> read_csv_trace(std::istream& input, const std::string& name,
                                                 CsvFormat format);

}  // namespace qed::cache_sim
