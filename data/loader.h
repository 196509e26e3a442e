// Batches in a shuffled order, augmented, prepared ahead by worker threads. Order and augmentation
// are functions of (seed, epoch, index in the data set) alone, never of the timing of threads.
#pragma once

#include <cstdint>
#include <memory>

#include "data/dataset.h"
#include "engine/core/tensor.h"

namespace encke {

// Applied in this order: crop, flip, colour.
struct AugmentOptions {
  // Random crop after padding with zeros; before, the image is resized as for evaluation. When it
  // is 0 the centre is taken.
  int64_t crop_padding = 0;
  bool flip = false;
  bool random_resized_crop =
      false;  // Szegedy et al. 2015; area and aspect ratio drawn from these ranges
  float min_area = 0.08f, max_area = 1.0f;
  float min_aspect = 0.75f, max_aspect = 4.0f / 3.0f;
  float brightness = 0, contrast = 0, saturation = 0;  // factor drawn from [1 - x, 1 + x]
};

struct LoaderOptions {
  int64_t batch = 64;
  int64_t height = 32, width = 32,
          channels = 3;  // of the batch: images are resized / cropped to this
  bool shuffle = true;
  bool drop_last = true;
  bool augment = true;  // otherwise: resize the shorter side to `resize_shorter`, crop the centre
                        // (zeros where the image is smaller than the batch's)
  AugmentOptions augmentation;
  int64_t resize_shorter = 0;  // 0: the larger of height and width
  int workers = 1;
  int prefetch = 1;          // batches held ready at most; 0: one is read when it is asked for
  bool skip_broken = false;  // replace an image that does not decode by the next one, and count it
  uint64_t seed = 1;
};

struct Batch {
  Tensor images;  // U8 [N,H,W,C], charged as DATA
  Tensor labels;  // I32 [N]
  int64_t size() const { return images.defined() ? images.shape().n : 0; }
};

// Used by one thread (workers are its own). The data set and the allocator must outlive it.
class Loader {
 public:
  virtual ~Loader() = default;

  virtual int64_t batches_per_epoch() const = 0;
  virtual int64_t samples_per_epoch() const = 0;
  // Starts over with `epoch` (0, 1, ...) from batch number `first_batch` on. Comes before the first
  // Next.
  virtual void StartEpoch(int64_t epoch, int64_t first_batch = 0) = 0;
  // The next batch; false at the end of the epoch. Its memory is filled again once neither *batch
  // nor another Tensor refers to it. Throws what a worker met, naming the record.
  virtual bool Next(Batch* batch) = 0;

  // Gives back the memory of batches that are over, until it is wanted again.
  virtual void ReleaseUnused() = 0;

  virtual double wait_seconds()
      const = 0;  // spent in Next, waiting for workers, since construction
  virtual int64_t skipped_records() const = 0;  // broken images skipped, since construction
};

// Error(CONFIG) when batch or workers is below 1, prefetch below 0; Error(DATA) when drop_last
// leaves no batch, or the system gives no threads for the workers.
std::unique_ptr<Loader> NewLoader(const Dataset& dataset, const LoaderOptions& options,
                                  Allocator& allocator);

}  // namespace encke
