#include "data/sample_reader.h"

#include "data/augment.h"
#include "engine/core/log.h"
#include "engine/core/rng.h"

namespace encke {

SampleReader::SampleReader(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(options),
      sample_{1, options.height, options.width, options.channels} {}

int64_t SampleReader::Read(int64_t epoch, int64_t index, uint8_t* pixels, int32_t* label) {
  for (int64_t skipped = 0;; ++skipped) {
    const int64_t record = (index + skipped) % dataset_.size();
    try {
      Transform(dataset_.Read(record), epoch, index, pixels);
      *label = dataset_.label(record);
      return skipped;
    } catch (const Error& error) {
      const bool last = skipped + 1 == dataset_.size();
      if (!options_.skip_broken || error.kind() != ErrorKind::DATA || last) throw;
      Report(record, error);
    }
  }
}

void SampleReader::Transform(const Image& image, int64_t epoch, int64_t index,
                             uint8_t* pixels) const {
  if (image.c != sample_.c) {
    throw Error(ErrorKind::CONFIG,
                StrCat("the images have ", image.c, " channels, the batch ", sample_.c));
  }
  if (!options_.augment) return CenterCrop(image, options_.resize_shorter, sample_, pixels);
  const uint64_t draw = static_cast<uint64_t>(epoch) << 40 | static_cast<uint64_t>(index);
  Rng rng(options_.seed, RngStream::AUGMENT, draw);
  Augment(image, options_.augmentation, options_.resize_shorter, rng, sample_, pixels);
}

void SampleReader::Report(int64_t record, const Error& error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (broken_.insert(record).second) LogWarning(StrCat("image skipped: ", error.what()));
}

}  // namespace encke
