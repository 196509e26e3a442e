#include "engine/graph/saved_slices.h"

#include <algorithm>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kMostSamples = int64_t{1} << 20, kMostSaved = int64_t{1} << 11;

// The same in every iteration, whatever else is stored: pools may remember values by it.
int IdOf(int saved, int64_t first) {
  ENCKE_CHECK(saved < kMostSaved && first < kMostSamples, saved, " ", first);
  return static_cast<int>(saved * kMostSamples + first);
}

}  // namespace

SavedSlices::~SavedSlices() {
  for (const auto& [saved, entries] : entries_) {
    for (const Entry& entry : entries) {
      store_->BeforeOverwrite(entry.id);
      store_->Release(entry.id);
    }
  }
}

StoredValue SavedSlices::Put(int saved, int value, int64_t first, const Tensor& slice,
                             const PutOptions& options) {
  PutOptions sharing = options;
  std::shared_ptr<const ValueCoding>& learnt = learnt_[saved];
  const bool alone = learnt == nullptr;  // no slice before it
  sharing.learnt = &learnt;
  if (alone) sharing.prior = codings_->PriorOf(value, options, iteration_);
  const int id = IdOf(saved, first);
  const StoredValue stored = store_->Put(id, slice, sharing);
  if (sharing.prior != nullptr) {
    codings_->Used(value, stored);
  } else if (alone && learnt != nullptr) {
    codings_->Learnt(value, options, iteration_, stored, *learnt);
  }
  entries_[saved].push_back({id, first, slice.shape().n, slice.shape().n});
  return stored;
}

template <typename Visit>
void SavedSlices::ForEachEntry(int saved, int64_t first, int64_t count, const Visit& visit) {
  for (Entry& entry : entries_.at(saved)) {
    const int64_t begin = std::max(first, entry.first);
    const int64_t inside = std::min(first + count, entry.first + entry.count) - begin;
    if (inside > 0) visit(entry, begin, inside);
  }
}

void SavedSlices::Prefetch(int saved, int64_t first, const Tensor& out) {
  ForEachEntry(saved, first, out.shape().n, [&](const Entry& entry, int64_t begin, int64_t count) {
    store_->Prefetch(entry.id, begin - entry.first, count, out.Slice(begin - first, count));
  });
}

void SavedSlices::BeforeOverwrite(int saved, int64_t first) {
  for (const Entry& entry : entries_.at(saved)) {
    if (entry.first == first) store_->BeforeOverwrite(entry.id);
  }
}

void SavedSlices::Get(int saved, int64_t first, const Tensor& out) {
  int64_t found = 0;
  ForEachEntry(saved, first, out.shape().n, [&](const Entry& entry, int64_t begin, int64_t count) {
    store_->Get(entry.id, begin - entry.first, count, out.Slice(begin - first, count));
    found += count;
  });
  ENCKE_CHECK(found == out.shape().n, "saved value ", saved, ": ", found, " of ", out.shape().n);
}

void SavedSlices::Forget(int saved, int64_t first, int64_t count) {
  ForEachEntry(saved, first, count, [&](Entry& entry, int64_t, int64_t inside) {
    entry.left -= inside;
    if (entry.left == 0) store_->Release(entry.id);
  });
  std::vector<Entry>& entries = entries_.at(saved);
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [](const Entry& entry) { return entry.left == 0; }),
                entries.end());
}

}  // namespace encke
