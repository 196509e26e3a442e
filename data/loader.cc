#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <opencv2/core.hpp>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "data/sample_reader.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

constexpr int64_t kMostChunk = 16;  // samples that a worker takes at once

std::vector<int64_t> EpochOrder(int64_t size, bool shuffle, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  Rng rng(seed, RngStream::SHUFFLE, static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.Below(i)]);
  return order;
}

// Memory for batches, used again as soon as nobody refers to it. For one thread.
class BatchPool {
 public:
  BatchPool(const LoaderOptions& options, Allocator& allocator)
      : allocator_(allocator),
        shape_{options.batch, options.height, options.width, options.channels} {}

  Batch Take(int64_t samples) {
    const Entry& entry = FindFree();
    return {Tensor(entry.images, 0, shape_.WithBatch(samples), DType::U8),
            Tensor(entry.labels, 0, {samples, 1, 1, 1}, DType::I32)};
  }

  void ReleaseUnused() {
    entries_.erase(std::remove_if(entries_.begin(), entries_.end(), IsFree), entries_.end());
  }

 private:
  struct Entry {
    std::shared_ptr<Buffer> images, labels;
  };

  static bool IsFree(const Entry& entry) {
    return entry.images.use_count() == 1 && entry.labels.use_count() == 1;
  }

  const Entry& FindFree() {
    const auto found = std::find_if(entries_.begin(), entries_.end(), IsFree);
    if (found != entries_.end()) return *found;
    entries_.push_back({allocator_.Allocate(shape_.elements(), MemoryCategory::DATA),
                        allocator_.Allocate(shape_.n * SizeOf(DType::I32), MemoryCategory::DATA)});
    return entries_.back();
  }

  Allocator& allocator_;
  const Shape shape_;
  std::vector<Entry> entries_;
};

// Batches in preparation lie in a ring of `prefetch` slots, or one. Workers take chunks of samples
// in order, up to the last batch that has a slot; Next hands over the oldest slot's batch and gives
// the slot to the batch that is `prefetch` further on. Without prefetching the slot goes to the
// batch that Next is asked for.
//
//       next_ (handed over next)        cursor_ (taken by workers next)
//         v                                v
//   ... | ready | ready | in preparation | free | horizon_ (has no slot yet)
//         `------------- slots ----------------'
class ThreadedLoader : public Loader {
 public:
  ThreadedLoader(const Dataset& dataset, const LoaderOptions& options, Allocator& allocator)
      : options_(options),
        records_(dataset.size()),
        batches_(options.drop_last ? records_ / options.batch
                                   : (records_ + options.batch - 1) / options.batch),
        chunk_(std::clamp<int64_t>(options.batch / options.workers, 1, kMostChunk)),
        reader_(dataset, options),
        pool_(options, allocator),
        slots_(static_cast<size_t>(std::max(options.prefetch, 1))),
        next_(batches_),
        horizon_(batches_),
        cursor_{batches_, 0} {
    try {
      for (int i = 0; i < options.workers; ++i) workers_.emplace_back([this] { Work(); });
    } catch (const std::system_error& error) {
      const size_t started = workers_.size();
      StopWorkers();
      throw Error(ErrorKind::DATA,
                  StrCat("the system starts no more than ", started, " of ", options.workers,
                         " loader threads (", error.what(), ")"),
                  "", "lower data.workers");
    }
  }

  ~ThreadedLoader() override { StopWorkers(); }

  int64_t batches_per_epoch() const override { return batches_; }
  int64_t samples_per_epoch() const override {
    return options_.drop_last ? batches_ * options_.batch : records_;
  }
  void ReleaseUnused() override { pool_.ReleaseUnused(); }

  double wait_seconds() const override { return wait_seconds_; }
  int64_t skipped_records() const override { return skipped_; }

  void StartEpoch(int64_t epoch, int64_t first_batch) override {
    ENCKE_CHECK(epoch >= 0 && first_batch >= 0, epoch, " ", first_batch);
    std::unique_lock<std::mutex> lock(mutex_);
    cursor_ = {batches_, 0};  // nothing more to take
    ready_.wait(lock, [this] { return active_ == 0; });
    order_ = EpochOrder(records_, options_.shuffle, options_.seed, epoch);
    epoch_ = epoch;
    next_ = std::min(first_batch, batches_);
    slots_.assign(slots_.size(), Slot());
    cursor_ = {next_, 0};
    horizon_ = next_;
    PrepareUntil(next_ + options_.prefetch);
  }

  bool Next(Batch* batch) override {
    *batch = Batch();  // so that its memory can be filled again
    std::unique_lock<std::mutex> lock(mutex_);
    ENCKE_CHECK(epoch_ >= 0, "StartEpoch comes first");
    if (next_ == batches_) return false;
    PrepareUntil(next_ + 1);
    Slot& slot = SlotOf(next_);
    Wait(lock, slot);
    if (slot.error) std::rethrow_exception(slot.error);
    *batch = std::move(slot.batch);
    skipped_ += slot.skipped;
    slot.batch = Batch();
    ++next_;
    PrepareUntil(next_ + options_.prefetch);
    return true;
  }

 private:
  struct Slot {
    Batch batch;
    int64_t left = 0;  // samples that are not there yet
    int64_t skipped = 0;
    std::exception_ptr error;
  };

  struct Position {
    int64_t batch, sample;
  };

  struct Chunk {
    int64_t batch, begin, end;  // samples of the batch
    uint8_t* pixels;            // of sample `begin`
    int32_t* labels;
  };

  Slot& SlotOf(int64_t batch) { return slots_[static_cast<size_t>(batch) % slots_.size()]; }

  // Has workers fill the batches before number `end` of which none is under way yet.
  void PrepareUntil(int64_t end) {
    for (; horizon_ < std::min(end, batches_); ++horizon_) {
      Slot& slot = SlotOf(horizon_);
      slot = Slot();
      slot.left = std::min(options_.batch, records_ - horizon_ * options_.batch);
      slot.batch = pool_.Take(slot.left);
    }
    work_.notify_all();
  }

  void Wait(std::unique_lock<std::mutex>& lock, const Slot& slot) {
    if (slot.left == 0) return;
    const auto start = std::chrono::steady_clock::now();
    ready_.wait(lock, [&slot] { return slot.left == 0; });
    wait_seconds_ +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void StopWorkers() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return stop_ || cursor_.batch < horizon_; });
      if (stop_) return;
      const Chunk chunk = TakeChunk();
      ++active_;
      lock.unlock();
      int64_t skipped = 0;
      std::exception_ptr error;
      try {
        skipped = Fill(chunk);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      --active_;
      Finish(chunk, skipped, error);
    }
  }

  // REQUIRES: mutex_ is held, and the cursor is before the horizon. So for Finish.
  Chunk TakeChunk() {
    const Batch& batch = SlotOf(cursor_.batch).batch;
    const int64_t begin = cursor_.sample, end = std::min(begin + chunk_, batch.size());
    const Chunk chunk{cursor_.batch, begin, end,
                      batch.images.data<uint8_t>() + begin * batch.images.shape().sample(),
                      batch.labels.data<int32_t>() + begin};
    cursor_ = end == batch.size() ? Position{cursor_.batch + 1, 0} : Position{cursor_.batch, end};
    return chunk;
  }

  int64_t Fill(const Chunk& chunk) {
    const int64_t bytes = options_.height * options_.width * options_.channels;
    int64_t skipped = 0;
    for (int64_t i = 0; i < chunk.end - chunk.begin; ++i) {
      const size_t place = static_cast<size_t>(chunk.batch * options_.batch + chunk.begin + i);
      skipped += reader_.Read(epoch_, order_[place], chunk.pixels + i * bytes, chunk.labels + i);
    }
    return skipped;
  }

  void Finish(const Chunk& chunk, int64_t skipped, const std::exception_ptr& error) {
    Slot& slot = SlotOf(chunk.batch);
    slot.left -= chunk.end - chunk.begin;
    slot.skipped += skipped;
    if (error && !slot.error) slot.error = error;
    if (slot.left == 0 || active_ == 0) ready_.notify_all();
  }

  const LoaderOptions options_;
  const int64_t records_;
  const int64_t batches_;
  const int64_t chunk_;  // samples that a worker takes at once: all have some of a batch
  SampleReader reader_;
  BatchPool pool_;
  double wait_seconds_ = 0;
  int64_t skipped_ = 0;

  std::mutex mutex_;
  std::condition_variable work_;   // there may be something to do
  std::condition_variable ready_;  // a batch is ready, or no worker is active
  // Written under mutex_; order_ and epoch_ only while no worker is active.
  std::vector<int64_t> order_;
  int64_t epoch_ = -1;
  std::vector<Slot> slots_;
  int64_t next_;
  int64_t horizon_;  // the first batch without a slot
  Position cursor_;
  int active_ = 0;  // workers that hold a chunk
  bool stop_ = false;

  std::vector<std::thread> workers_;  // the last member: they use all others
};

void CheckOptions(const LoaderOptions& options) {
  const auto check = [](int64_t value, int64_t least, const char* name) {
    if (value < least) {
      throw Error(ErrorKind::CONFIG, StrCat(name, " is ", value, ", and must be at least ", least));
    }
  };
  check(options.batch, 1, "batch");
  check(options.workers, 1, "data.workers");
  check(options.prefetch, 0, "data.prefetch");
  ENCKE_CHECK(options.channels == 1 || options.channels == 3, options.channels);
}

}  // namespace

std::unique_ptr<Loader> NewLoader(const Dataset& dataset, const LoaderOptions& options,
                                  Allocator& allocator) {
  CheckOptions(options);
  if (options.drop_last && dataset.size() < options.batch) {
    throw Error(ErrorKind::DATA,
                StrCat("there are only ", dataset.size(), " images, less than one batch of ",
                       options.batch),
                "", "take a smaller batch");
  }
  cv::setNumThreads(0);  // the workers are the threads
  return std::make_unique<ThreadedLoader>(dataset, options, allocator);
}

}  // namespace encke
