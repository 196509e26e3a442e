// From a record of a data set to a sample of a batch, past broken records where that is allowed.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>

#include "data/dataset.h"
#include "data/loader.h"
#include "engine/core/error.h"
#include "engine/core/shape.h"

namespace encke {

// Thread-safe. The data set must outlive it.
class SampleReader {
 public:
  SampleReader(const Dataset& dataset, const LoaderOptions& options);

  // Writes pixels and label of record `index`, augmented as for `epoch`; with skip_broken, those of
  // the next record that can be read. Returns how many it had to skip.
  int64_t Read(int64_t epoch, int64_t index, uint8_t* pixels, int32_t* label);

 private:
  void Transform(const Image& image, int64_t epoch, int64_t index, uint8_t* pixels) const;
  // Logs one line for each broken record, however often it is met.
  void Report(int64_t record, const Error& error);

  const Dataset& dataset_;
  const LoaderOptions options_;
  const Shape sample_;
  std::mutex mutex_;
  std::set<int64_t> broken_;  // guarded by mutex_
};

}  // namespace encke
