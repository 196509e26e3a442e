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

// Distance from the lower buffer's beginning to the upper's at which no slice overwrites what it or
// a later one reads: of each slice, the end in the one lies below the beginning in the other.
int64_t GapBetween(const PlannedBuffer& below, const PlannedBuffer& above, int64_t batch,
                   int64_t slice) {
  int64_t gap = 0;
  for (int64_t begin = 0; begin < batch; begin += slice) {
    const int64_t end = std::min(begin + slice, batch);
    gap = std::max(gap, end * below.sample_bytes - begin * above.sample_bytes);
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
        const int below = section.reversed ? r : w, above = section.reversed ? w : r;
        const int64_t gap =
            GapBetween(plan.buffers[below], plan.buffers[above], plan.batch, section.samples);
        if (gap < plan.buffers[below].bytes) trails.push_back({r, w, below, above, gap});
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
