// Codecs measured in the pool of a backend, as training on that device uses it.
#pragma once

#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "tools/encke/codec_measurement.h"

namespace encke::cli {

// Codecs that the pool of a GPU knows.
std::vector<std::string> GpuCodecNames();

// Times are the host's, from a call until the device has done what it asked for, of the fastest of
// `repeats`: launching is included, which shows in small values. The pool learns from one Put for
// the next, as it does from iteration to iteration. `all_threads` stays empty.
std::vector<CodecMeasurement> MeasureOnDevice(Backend& backend, const CodecInput& input,
                                              const std::vector<std::string>& codecs, int repeats);

}  // namespace encke::cli
