// Buffers that trail others: of two tensors of the whole batch, one read for the last time and one
// written first in the same sliced section, the second may lie where the first has been read.
#include <algorithm>
#include <set>

#include "engine/graph/plan_internal.h"

namespace encke::internal {
namespace {

// Buffers that are read whole once the section's slices are through: by its steps or, like those of
// the results, after the program.
std::set<int> ReadAfterSlices(const Plan& plan, const PlanSection& section) {
  std::set<int> buffers = {plan.logits_buffer, plan.loss_buffer};
  for (int s = section.first; s < section.end; ++s) {
    const PlanStep& step = plan.steps[s];
    if (!TakesWholeBatch(step)) continue;
    for (const auto* list :
         {&step.inputs, &step.outputs, &step.output_masks, &step.states, &step.output_gradients}) {
      buffers.insert(list->begin(), list->end());
    }
  }
  return buffers;
}

// Bytes by which the samples of `written` must lie before those of `read`, counted from the end at
// which the slices begin, so that no slice overwrites what it or a later one reads.
int64_t GapBetween(const PlannedBuffer& read, const PlannedBuffer& written, int64_t batch,
                   const PlanSection& section) {
  int64_t gap = 0;
  for (int64_t begin = 0; begin < batch; begin += section.samples) {
    const int64_t end = std::min(begin + section.samples, batch);
    const int64_t needed = section.reversed
                               ? end * read.sample_bytes - begin * written.sample_bytes
                               : end * written.sample_bytes - begin * read.sample_bytes;
    gap = std::max(gap, needed);
  }
  return gap;
}

}  // namespace

std::vector<Trail> FindTrails(const Plan& plan) {
  std::vector<Trail> trails;
  for (const PlanSection& section : plan.sections) {
    if (section.samples == plan.batch) continue;
    const std::set<int> read_after = ReadAfterSlices(plan, section);
    std::vector<int> read, written;
    for (int b = 0; b < static_cast<int>(plan.buffers.size()); ++b) {
      const PlannedBuffer& buffer = plan.buffers[b];
      if (!buffer.whole || buffer.sample_bytes == 0) continue;
      const bool from_before = buffer.first < section.first && buffer.last == section.end - 1;
      if (from_before && read_after.count(b) == 0) read.push_back(b);
      if (buffer.first == section.first) written.push_back(b);
    }
    for (int r : read) {
      for (int w : written) {
        const int64_t gap = GapBetween(plan.buffers[r], plan.buffers[w], plan.batch, section);
        const PlannedBuffer& lower = plan.buffers[section.reversed ? r : w];
        if (gap < lower.bytes) trails.push_back({r, w, gap, section.reversed});
      }
    }
  }
  return trails;
}

void BookTrails(const std::vector<Trail>& trails, Plan* plan) {
  for (PlannedBuffer& buffer : plan->buffers) buffer.shared_bytes = 0;
  for (const Trail& trail : trails) {
    const PlannedBuffer& read = plan->buffers[trail.read];
    PlannedBuffer& written = plan->buffers[trail.written];
    const int64_t begin = std::max(read.offset, written.offset);
    const int64_t end = std::min(read.offset + read.bytes, written.offset + written.bytes);
    written.shared_bytes += std::max<int64_t>(end - begin, 0);
    written.shared_until = read.last;
  }
}

}  // namespace encke::internal
