// Part of another data set.
#include <algorithm>
#include <numeric>
#include <utility>

#include "data/formats.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

class SubsetDataset : public Dataset {
 public:
  SubsetDataset(std::unique_ptr<Dataset> dataset, std::vector<int64_t> records)
      : dataset_(std::move(dataset)), records_(std::move(records)) {}

  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  int classes() const override { return dataset_->classes(); }
  std::vector<std::string> class_names() const override { return dataset_->class_names(); }
  int label(int64_t index) const override { return dataset_->label(record(index)); }
  Image Read(int64_t index) const override { return dataset_->Read(record(index)); }

 private:
  int64_t record(int64_t index) const { return records_[static_cast<size_t>(index)]; }

  std::unique_ptr<Dataset> dataset_;
  std::vector<int64_t> records_;
};

}  // namespace

std::unique_ptr<Dataset> Subset(std::unique_ptr<Dataset> dataset, int64_t limit, uint64_t seed) {
  constexpr uint64_t kChoice = ~uint64_t{0};  // no epoch has this substream
  Rng rng(seed, RngStream::SHUFFLE, kChoice);
  const uint64_t size = static_cast<uint64_t>(dataset->size());
  std::vector<int64_t> records(size);
  std::iota(records.begin(), records.end(), 0);
  for (uint64_t i = 0; i < static_cast<uint64_t>(limit); ++i) {
    std::swap(records[i], records[i + rng.Below(size - i)]);
  }
  records.resize(static_cast<size_t>(limit));
  std::sort(records.begin(), records.end());
  return std::make_unique<SubsetDataset>(std::move(dataset), std::move(records));
}

}  // namespace encke
