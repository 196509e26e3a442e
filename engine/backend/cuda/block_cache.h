// Device memory that was freed and is kept for the next request of the same size: asking the driver
// costs from ten microseconds to milliseconds, and giving memory back waits for the device.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace encke::cuda {

// Not thread-safe. Owns nothing: the blocks are the caller's to free.
class BlockCache {
 public:
  // What is really allocated for a request: whole 512-byte units, whole 2 MiB pages for large ones.
  static int64_t RoundedSize(int64_t bytes) {
    const int64_t unit = bytes < kLarge ? 512 : kLarge;
    return bytes <= 0 ? unit : (bytes + unit - 1) / unit * unit;
  }

  // A kept block of this rounded size, null when there is none.
  void* Take(int64_t rounded) {
    const auto found = blocks_.find(rounded);
    if (found == blocks_.end()) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) blocks_.erase(found);
    bytes_ -= rounded;
    return block;
  }
  void Put(void* block, int64_t rounded) {
    blocks_[rounded].push_back(block);
    bytes_ += rounded;
  }
  // All kept blocks, which the cache forgets.
  std::vector<void*> TakeAll() {
    std::vector<void*> all;
    for (const auto& [size, blocks] : blocks_) all.insert(all.end(), blocks.begin(), blocks.end());
    blocks_.clear();
    bytes_ = 0;
    return all;
  }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kLarge = 2 << 20;

  std::map<int64_t, std::vector<void*>> blocks_;  // by rounded size
  int64_t bytes_ = 0;
};

}  // namespace encke::cuda
