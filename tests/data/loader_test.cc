// The loader: the same batches whatever the threads do, errors and broken images, memory.
#include "data/loader.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "tests/data/test_files.h"

namespace encke {
namespace {

using Pixels = std::vector<uint8_t>;

// Record i is grey i, with label i. Reads of the records in `broken` fail.
class CountingDataset : public Dataset {
 public:
  explicit CountingDataset(int64_t size, std::set<int64_t> broken = {})
      : size_(size), broken_(std::move(broken)) {}

  int64_t size() const override { return size_; }
  int classes() const override { return static_cast<int>(size_); }
  std::vector<std::string> class_names() const override { return {}; }
  int label(int64_t index) const override { return static_cast<int>(index); }
  Image Read(int64_t index) const override {
    if (broken_.count(index) != 0) {
      throw Error(ErrorKind::DATA, "the image does not decode", StrCat("record ", index));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(index * 37 % 100));
    return {4, 4, 1, Pixels(16, static_cast<uint8_t>(index))};
  }

 private:
  int64_t size_;
  std::set<int64_t> broken_;
};

LoaderOptions SmallOptions() {
  LoaderOptions options;
  options.batch = 8;
  options.height = options.width = 4;
  options.channels = 1;
  options.workers = 3;
  return options;
}

// Labels of each batch until the end of the epoch.
std::vector<std::vector<int32_t>> LabelsOfEpoch(Loader& loader) {
  std::vector<std::vector<int32_t>> epoch;
  for (Batch batch; loader.Next(&batch);) {
    const int32_t* labels = batch.labels.data<int32_t>();
    epoch.emplace_back(labels, labels + batch.size());
  }
  return epoch;
}

// Everything that a whole epoch of a real pipeline delivers.
Pixels PixelsOfEpoch(int workers, int64_t epoch, int64_t first_batch) {
  DatasetOptions data;
  data.limit = 300;
  const auto dataset = OpenDataset(data, Split::TRAIN);
  LoaderOptions options;
  options.workers = workers;
  options.augmentation.crop_padding = 4;
  options.augmentation.flip = true;
  options.augmentation.brightness = 0.3f;
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(*dataset, options, *allocator);
  loader->StartEpoch(epoch, first_batch);
  Pixels pixels;
  for (Batch batch; loader->Next(&batch);) {
    const uint8_t* images = batch.images.data<uint8_t>();
    pixels.insert(pixels.end(), images, images + batch.images.bytes());
  }
  return pixels;
}

TEST(LoaderTest, BatchesDoNotDependOnTheNumberOfWorkers) {
  const Pixels one = PixelsOfEpoch(1, 2, 0);
  EXPECT_EQ(one.size(), 4u * 64 * 32 * 32 * 3);
  EXPECT_EQ(one, PixelsOfEpoch(3, 2, 0));
  EXPECT_NE(one, PixelsOfEpoch(1, 3, 0));
}

TEST(LoaderTest, ResumesInTheMiddleOfAnEpoch) {
  const Pixels whole = PixelsOfEpoch(2, 1, 0);
  const Pixels rest = PixelsOfEpoch(3, 1, 3);
  ASSERT_EQ(rest.size(), whole.size() / 4);
  EXPECT_TRUE(
      std::equal(rest.begin(), rest.end(), whole.end() - static_cast<int64_t>(rest.size())));
}

TEST(LoaderTest, AnEpochHoldsEveryRecordOnceInAnOrderOfItsOwn) {
  const CountingDataset dataset(45);
  LoaderOptions options = SmallOptions();
  options.drop_last = false;
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  EXPECT_EQ(loader->batches_per_epoch(), 6);
  EXPECT_EQ(loader->samples_per_epoch(), 45);
  std::set<std::vector<int32_t>> orders;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    loader->StartEpoch(epoch);
    std::vector<int32_t> all;
    for (const auto& labels : LabelsOfEpoch(*loader)) {
      all.insert(all.end(), labels.begin(), labels.end());
    }
    orders.insert(all);
    std::sort(all.begin(), all.end());
    std::vector<int32_t> expected(45);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(all, expected);
  }
  EXPECT_EQ(orders.size(), 4u);
}

TEST(LoaderTest, LastBatchIsShortOrDropped) {
  const CountingDataset dataset(20);
  LoaderOptions options = SmallOptions();
  options.shuffle = false;
  const auto allocator = NewCpuAllocator();
  const auto dropping = NewLoader(dataset, options, *allocator);
  EXPECT_EQ(dropping->samples_per_epoch(), 16);
  dropping->StartEpoch(0);
  EXPECT_EQ(LabelsOfEpoch(*dropping).size(), 2u);
  options.drop_last = false;
  const auto keeping = NewLoader(dataset, options, *allocator);
  keeping->StartEpoch(0);
  const auto epoch = LabelsOfEpoch(*keeping);
  ASSERT_EQ(epoch.size(), 3u);
  EXPECT_EQ(epoch[2], (std::vector<int32_t>{16, 17, 18, 19}));
}

TEST(LoaderTest, PixelsBelongToTheirLabels) {
  const CountingDataset dataset(64);
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, SmallOptions(), *allocator);
  loader->StartEpoch(0);
  for (Batch batch; loader->Next(&batch);) {
    for (int64_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(batch.images.data<uint8_t>()[i * 16], batch.labels.data<int32_t>()[i]);
    }
  }
}

TEST(LoaderTest, AnEpochCanBeLeftAndStartedAgain) {
  const CountingDataset dataset(64);
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, SmallOptions(), *allocator);
  loader->StartEpoch(5);
  const auto whole = LabelsOfEpoch(*loader);
  for (int64_t batches = 0; batches < 4; ++batches) {
    loader->StartEpoch(3);
    Batch batch;
    for (int64_t i = 0; i < batches; ++i) EXPECT_TRUE(loader->Next(&batch));
    loader->StartEpoch(5);
    EXPECT_EQ(LabelsOfEpoch(*loader), whole);
  }
}

TEST(LoaderTest, BrokenImageStopsTheEpochWithItsName) {
  const CountingDataset dataset(64, {11});
  LoaderOptions options = SmallOptions();
  options.shuffle = false;
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  loader->StartEpoch(0);
  Batch batch;
  EXPECT_TRUE(loader->Next(&batch));
  ExpectDataError([&] { loader->Next(&batch); }, "record 11: the image does not decode");
  loader->StartEpoch(0, 2);
  EXPECT_TRUE(loader->Next(&batch));
  EXPECT_EQ(batch.labels.data<int32_t>()[0], 16);
}

TEST(LoaderTest, BrokenImagesAreReplacedByTheNextAndCounted) {
  const CountingDataset dataset(16, {3, 4, 15});
  LoaderOptions options = SmallOptions();
  options.shuffle = false;
  options.skip_broken = true;
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  loader->StartEpoch(0);
  const auto epoch = LabelsOfEpoch(*loader);
  ASSERT_EQ(epoch.size(), 2u);
  EXPECT_EQ(epoch[0], (std::vector<int32_t>{0, 1, 2, 5, 5, 5, 6, 7}));
  EXPECT_EQ(epoch[1].back(), 0);
  EXPECT_EQ(loader->skipped_records(), 2 + 1 + 1);  // 3 and 4, 4 again for itself, 15
}

TEST(LoaderTest, WhereAllImagesAreBrokenSkippingEnds) {
  const CountingDataset dataset(8, {0, 1, 2, 3, 4, 5, 6, 7});
  LoaderOptions options = SmallOptions();
  options.skip_broken = true;
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  loader->StartEpoch(0);
  Batch batch;
  ExpectDataError([&] { loader->Next(&batch); }, "the image does not decode");
}

TEST(LoaderTest, MemoryIsChargedAsDataAndUsedAgain) {
  const CountingDataset dataset(200);
  LoaderOptions options = SmallOptions();
  options.prefetch = 3;
  const auto allocator = NewCpuAllocator();
  const auto data_bytes = [&] { return allocator->ledger().Current().of(MemoryCategory::DATA); };
  {
    const auto loader = NewLoader(dataset, options, *allocator);
    Tensor kept;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      loader->StartEpoch(epoch);
      Batch batch;
      loader->Next(&batch);
      kept = batch.images;  // must not be overwritten while it is held
      const int first = kept.data<uint8_t>()[0];
      while (loader->Next(&batch)) {
      }
      EXPECT_EQ(kept.data<uint8_t>()[0], first);
    }
    const int64_t batch_bytes = 8 * 16 + 8 * 4;
    EXPECT_GT(data_bytes(), 0);
    EXPECT_LE(data_bytes(), (3 + 2) * batch_bytes);  // slots, the batch in use, the one kept
    loader->ReleaseUnused();
    EXPECT_EQ(data_bytes(), batch_bytes);  // the one kept
    kept = Tensor();
  }
  EXPECT_EQ(data_bytes(), 0);
}

// One batch is there at a time, and the same batches come, broken records told as ever.
TEST(LoaderTest, WithoutPrefetchingABatchIsReadWhenItIsAskedFor) {
  const CountingDataset dataset(45), broken(45, {13});
  LoaderOptions options = SmallOptions(), ahead = options;
  options.prefetch = 0;
  ahead.prefetch = 2;
  options.drop_last = ahead.drop_last = false;
  const auto allocator = NewCpuAllocator(), other = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  const auto expected = NewLoader(dataset, ahead, *other);
  const int64_t batch_bytes = RoundUp(8 * 16, 64) + RoundUp(8 * 4, 64);
  for (int64_t first : {0, 2}) {
    loader->StartEpoch(1, first);
    expected->StartEpoch(1, first);
    EXPECT_EQ(LabelsOfEpoch(*loader), LabelsOfEpoch(*expected));
    EXPECT_LE(allocator->ledger().Peak().of(MemoryCategory::DATA), batch_bytes);
  }
  options.shuffle = false;
  const auto failing = NewLoader(broken, options, *allocator);
  failing->StartEpoch(0);
  Batch batch;
  EXPECT_TRUE(failing->Next(&batch));
  for (int time : {1, 2}) {
    SCOPED_TRACE(time);
    ExpectDataError([&] { failing->Next(&batch); }, "the image does not decode");
  }
}

TEST(LoaderTest, UnusableOptionsAreErrors) {
  const CountingDataset dataset(5);
  const auto allocator = NewCpuAllocator();
  ExpectDataError([&] { NewLoader(dataset, SmallOptions(), *allocator); },
                  "there are only 5 images");
  LoaderOptions options = SmallOptions();
  options.workers = 0;
  EXPECT_THROW(NewLoader(dataset, options, *allocator), Error);
  options.workers = 1;
  options.prefetch = -1;
  EXPECT_THROW(NewLoader(dataset, options, *allocator), Error);
}

}  // namespace
}  // namespace encke
