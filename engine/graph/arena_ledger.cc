#include "engine/graph/arena_ledger.h"

namespace encke {

ArenaLedger::ArenaLedger(const Plan* plan, MemoryLedger* ledger, MemoryTrace* trace)
    : plan_(plan),
      ledger_(ledger),
      trace_(trace),
      first_(plan->steps.size()),
      last_(plan->steps.size()),
      shared_until_(plan->steps.size()),
      booked_(plan->buffers.size(), 0) {
  for (size_t b = 0; b < plan->buffers.size(); ++b) {
    const PlannedBuffer& buffer = plan->buffers[b];
    const int index = static_cast<int>(b);
    first_[buffer.first].push_back(index);
    last_[buffer.last].push_back(index);
    if (buffer.shared_bytes > 0) shared_until_[buffer.shared_until].push_back(index);
  }
}

ArenaLedger::~ArenaLedger() {
  for (size_t b = 0; b < booked_.size(); ++b) Release(static_cast<int>(b));
}

void ArenaLedger::Begin(int step) {
  for (int buffer : first_[step]) {
    if (booked_[buffer] > 0) continue;
    Book(buffer, plan_->buffers[buffer].bytes - plan_->buffers[buffer].shared_bytes);
  }
  Note(step);
}

void ArenaLedger::End(int step, bool last_slice) {
  Note(step);
  for (int buffer : last_[step]) {
    if (last_slice || !SpansSlices(plan_->buffers[buffer])) Release(buffer);
  }
  if (!last_slice) return;
  for (int buffer : shared_until_[step]) {
    if (plan_->buffers[buffer].last > step) Book(buffer, plan_->buffers[buffer].shared_bytes);
  }
}

void ArenaLedger::Note(int step) {
  if (trace_ != nullptr) trace_->Note(step, ledger_->Current());
}

void ArenaLedger::Book(int buffer, int64_t bytes) {
  ledger_->Move(MemoryCategory::UNUSED, plan_->buffers[buffer].category, bytes);
  booked_[buffer] += bytes;
}

void ArenaLedger::Release(int buffer) {
  if (booked_[buffer] == 0) return;
  ledger_->Move(plan_->buffers[buffer].category, MemoryCategory::UNUSED, booked_[buffer]);
  booked_[buffer] = 0;
}

}  // namespace encke
