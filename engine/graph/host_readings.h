// Floats that the host needs to know, read while the device goes on. Internal to engine/graph.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "engine/backend/backend.h"

namespace encke {

// Of one pass. The host waits for a reading when it is first asked for.
class HostReadings {
 public:
  // REQUIRES: the backend outlives it.
  explicit HostReadings(Backend* backend) : backend_(backend) {}

  // Begins to read F32 tensors as they are now, under a key that is free.
  void Begin(int key, const std::vector<Tensor>& tensors);
  bool Has(int key) const { return readings_.count(key) > 0; }
  // The elements of each. REQUIRES: Begin.
  const std::vector<std::vector<float>>& Of(int key);

 private:
  struct Reading {
    std::vector<Tensor> tensors;
    std::unique_ptr<HostCopy> copy;  // null once it has been taken over
    std::vector<std::vector<float>> floats;
  };

  Backend* backend_;
  std::map<int, Reading> readings_;
};

}  // namespace encke
