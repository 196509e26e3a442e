// The RAW pool: every tensor stays as it is.
#include <algorithm>
#include <map>

#include "compression/activation_store.h"
#include "engine/core/error.h"

namespace encke {
namespace {

class RawStore : public ActivationStore {
 public:
  StoredValue Put(int id, const Tensor& value, const std::string&, const CodecOptions&) override {
    ENCKE_CHECK(value.defined() && values_.count(id) == 0, id);
    values_[id] = value;
    stored_ += value.bytes();
    peak_ = std::max(peak_, stored_);
    StoredValue result;
    result.codec = "raw";
    result.raw_bytes = result.stored_bytes = value.bytes();
    result.statistics.elements = value.elements();
    return result;
  }

  Tensor Get(int id, int64_t first, int64_t count, const Tensor&) override {
    return At(id).Slice(first, count);
  }

  void Release(int id) override {
    stored_ -= At(id).bytes();
    values_.erase(id);
  }

  bool KeepsTensors() const override { return true; }
  int64_t stored_bytes() const override { return stored_; }
  int64_t peak_stored_bytes() const override { return peak_; }
  int64_t held_bytes() const override { return 0; }
  void ResetPeak() override { peak_ = stored_; }

 private:
  const Tensor& At(int id) const {
    const auto found = values_.find(id);
    ENCKE_CHECK(found != values_.end(), "value ", id, " is not stored");
    return found->second;
  }

  std::map<int, Tensor> values_;
  int64_t stored_ = 0;
  int64_t peak_ = 0;
};

}  // namespace

std::unique_ptr<ActivationStore> NewRawStore() { return std::make_unique<RawStore>(); }

}  // namespace encke
