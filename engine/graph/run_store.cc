// What a run gives to the pool and gets back, and what encoding has seen of it.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/core/packed_samples.h"
#include "engine/graph/run.h"

namespace encke {
namespace {

double Microseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - since)
      .count();
}

}  // namespace

void Executor::Run::Store(const PlanStep& step) {
  const SavedValue& saved = plan_.saved[step.saved];
  const Tensor tensor = ValueTensor(step.buffer, saved.value);
  ActivationRecord& record = RecordOf(step.saved);
  if (saved.keep == Keep::DERIVE && DerivationOf(saved.block_end).derived) {
    return RecordDerived(step, tensor);
  }
  const bool raw = saved.keep == Keep::RAW;
  const CodecOptions codec_options = raw ? CodecOptions() : BoundOf(step, &record);
  if (!raw) DumpValue(saved, tensor, codec_options);
  if (Audits(saved)) KeepExact(saved, tensor);
  KeepForProbes(step.saved, tensor);
  if (saved.keep == Keep::REBUILD) return ObserveRebuilt(step, tensor);
  const std::string codec = raw ? saved.codec : CodecOf(step.saved);
  const StoredValue stored =
      stored_.Put(step.saved, saved.value, now_.first, tensor,
                  {codec, codec_options, saved.tier, graph_.values[saved.value].name, saved.floor});
  if (saved.adaptive && !raw && !options_.exact) executor_.codecs_.Stored(saved.value, stored);
  if (!raw && backend_.PoolWorksAside()) {
    unread_.push_back({step.saved, now_.first, RangeOf(step.buffer)});
  }
  record.codec = stored.codec;
  record.raw_bytes += stored.raw_bytes;
  record.stored_bytes += stored.stored_bytes;
  record.offloaded_bytes += stored.offloaded_bytes;
  record.encode_us += stored.encode_seconds * 1e6;
  if (!raw) ObserveStored(step.saved, stored.statistics);
}

// The same for all slices.
std::string Executor::Run::CodecOf(int s) {
  const SavedValue& saved = plan_.saved[s];
  if (options_.exact) return CodecForExact(saved.codec);
  if (!saved.adaptive) return saved.codec;
  const auto [found, added] = codec_of_.emplace(s, "");
  if (!added) return found->second;
  const int64_t raw =
      batch_.size() * graph_.values[saved.value].shape.sample() * SizeOf(plan_.options.compute);
  foreseen_ += saved.predicted_bytes * batch_.size() / plan_.batch;
  const int64_t limit = executor_.options_.store.limit_bytes;
  return found->second = executor_.codecs_.Choose(
             saved.value, raw, limit > 0 ? std::min(foreseen_, limit) : foreseen_);
}

// Of a value that is not kept but made again from others: its active elements are theirs.
void Executor::Run::ObserveRebuilt(const PlanStep& step, const Tensor& tensor) {
  const SavedValue& saved = plan_.saved[step.saved];
  ActivationRecord& record = RecordOf(step.saved);
  record.codec = "rebuilt";
  if (saved.raw_bytes > 0) record.raw_bytes += tensor.bytes();
  EncodeStatistics sources;
  for (size_t s = 0; s < plan_.saved.size(); ++s) {
    const std::vector<int>& serves = plan_.saved[s].serves;
    const bool source = std::find(serves.begin(), serves.end(), saved.value) != serves.end();
    const auto encoded = encoded_.find(static_cast<int>(s));  // one with later readers comes later
    if (source && encoded != encoded_.end()) sources.Add(encoded->second);
  }
  if (sources.elements == 0) return;  // recomputed, exactly
  const double active = static_cast<double>(sources.nonzero) /
                        static_cast<double>(std::max<int64_t>(sources.elements, 1));
  EncodeStatistics seen;
  seen.elements = tensor.elements();
  seen.nonzero = std::llround(active * static_cast<double>(seen.elements));
  if (refresh_) seen.sum_of_squares = backend_.SumOfSquares(tensor);
  ObserveStored(step.saved, seen);
}

// What encoding has seen of a value.
void Executor::Run::ObserveStored(int s, const EncodeStatistics& statistics) {
  const SavedValue& saved = plan_.saved[s];
  ActivationRecord& record = RecordOf(s);
  EncodeStatistics& seen = encoded_[s];
  seen.Add(statistics);
  const double elements = static_cast<double>(std::max<int64_t>(seen.elements, 1));
  record.nonzero_fraction = static_cast<double>(seen.nonzero) / elements;
  if (!now_.last) return;
  BoundController& controller = *executor_.controller_;
  if (saved.keep == Keep::CODEC || refresh_) {
    controller.ObserveValue(saved.value, record.nonzero_fraction,
                            std::sqrt(seen.sum_of_squares / elements));
  }
  for (int consumer : saved.gradient_consumers) {
    record.predicted_sigma =
        std::max(record.predicted_sigma,
                 controller.PredictedSigma(saved.value, consumer, noise_bounds_.at(s)));
  }
}

void Executor::Run::StoreMask(const PlanStep& step) {
  const Tensor value = ValueTensor(step.other, step.value);
  const Tensor bits = BytesOf(step.buffer);
  ForEachPacked(value, 1, [&](const Tensor& part, int64_t first, int64_t count) {
    backend_.PackMask(part, bits.Slice(first, count));
  });
  ActivationRecord& record = RecordNamed(graph_.values[step.value].name, step.value, "mask");
  record.shape = graph_.values[step.value].shape;
  record.codec = "bits";
  record.raw_bytes += value.bytes();
  record.stored_bytes += bits.bytes();
  record.error_bound = 0;
}

void Executor::Run::Pack(const PlanStep& step) {
  const SavedState& state = plan_.states[step.saved];
  const Tensor bits = BytesOf(step.buffer);
  ForEachPacked(StateTensor(state, step.other), state.bits,
                [&](const Tensor& part, int64_t first, int64_t count) {
                  backend_.PackBits(part, state.bits, bits.Slice(first, count));
                });
}

void Executor::Run::Unpack(const PlanStep& step) {
  const SavedState& state = plan_.states[step.saved];
  const Tensor bits = BytesOf(step.other);
  ForEachPacked(StateTensor(state, step.buffer), state.bits,
                [&](const Tensor& part, int64_t first, int64_t count) {
                  backend_.UnpackBits(bits.Slice(first, count), state.bits, part);
                });
}

Tensor Executor::Run::StateTensor(const SavedState& state, int buffer) const {
  const StateSpec spec = graph_.nodes[state.node].layer->States()[state.index];
  return TensorOf(buffer, spec.shape.WithBatch(now_.count), DType::U8);
}

// What the step brings of the slice.
Executor::Run::Brought Executor::Run::BroughtBy(const PlanStep& step) const {
  const int64_t end = now_.first + now_.count;
  const int64_t border = std::clamp(plan_.buffers[step.buffer].held, now_.first, end);
  return {step.rest ? border : now_.first, border, end};
}

void Executor::Run::Prefetch(const PlanStep& step) {
  const auto [first, border, end] = BroughtBy(step);
  const Tensor out = ValueTensor(step.buffer, step.value);
  stored_.Prefetch(step.saved, first, out.Slice(first - now_.first, end - first));
}

void Executor::Run::Fetch(const PlanStep& step) {
  const auto start = std::chrono::steady_clock::now();
  const auto [first, border, end] = BroughtBy(step);
  const Tensor out = ValueTensor(step.buffer, step.value);
  stored_.Get(step.saved, first, out.Slice(first - now_.first, end - first));
  stored_.Forget(step.saved, first, border - first);  // the buffer goes on to hold them
  if (step.release) stored_.Forget(step.saved, border, end - border);
  RecordOf(step.saved).decode_us += Microseconds(start);
}

Executor::Run::Range Executor::Run::RangeOf(int buffer) const {
  const PlannedBuffer& planned = plan_.buffers[buffer];
  const bool samples = planned.sample_bytes > 0;
  const int64_t begin = OffsetOf(buffer);
  return {begin, begin + (samples ? now_.count * planned.sample_bytes : planned.bytes)};
}

// The pool is done with what the step is about to overwrite.
void Executor::Run::AwaitReaders(const PlanStep& step) {
  if (step.kind == Kind::STORE) return;
  std::vector<int> written = {step.buffer, step.result};
  for (const std::vector<int>* list : {&step.outputs, &step.states, &step.input_gradients}) {
    written.insert(written.end(), list->begin(), list->end());
  }
  for (int buffer : written) {
    if (buffer < 0) continue;
    const Range range = RangeOf(buffer);
    const auto met =
        std::stable_partition(unread_.begin(), unread_.end(), [&](const Unread& unread) {
          return unread.range.end <= range.begin || range.end <= unread.range.begin;
        });
    for (auto i = met; i != unread_.end(); ++i) stored_.BeforeOverwrite(i->saved, i->first);
    unread_.erase(met, unread_.end());
  }
}

}  // namespace encke
