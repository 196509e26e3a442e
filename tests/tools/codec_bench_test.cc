// What `encke bench codec` counts and adds up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/core/error.h"
#include "tools/encke/codec_measurement.h"
#include "tools/encke/codec_report.h"
#include "tools/encke/device_measurement.h"

namespace encke::cli {
namespace {

CodecInput Masked(const std::vector<float>& data, float bound) {
  CodecInput input{"layer", Shape::Vector(static_cast<int64_t>(data.size())), data, {}};
  input.options.bound = ErrorBound::Uniform(bound);
  input.options.mask = true;
  return input;
}

TEST(CodecErrors, CountsEachKindOfBrokenElement) {
  const float nan = std::nanf("1"), infinity = std::numeric_limits<float>::infinity();
  const CodecInput input = Masked({0, 1, 2, 3, nan, infinity, 4}, 0.5f);
  const std::vector<float> decoded = {0, 1.25f, 2.75f, 0, 0, infinity, infinity};
  const CodecErrors errors = CodecErrors::Of(input, decoded.data());
  EXPECT_EQ(errors.over_bound, 3) << "2 by 0.75, 3 by 3, 4 by everything";
  EXPECT_EQ(errors.mask_changed, 1) << "the 3";
  EXPECT_EQ(errors.special_changed, 1) << "the NaN";
  EXPECT_EQ(errors.violations(), 5);
  EXPECT_TRUE(std::isinf(errors.greatest));
}

TEST(CodecErrors, AreOverTheBoundOfTheChannel) {
  CodecInput input{"layer", {1, 1, 2, 2}, {1, 1, 2, 2}, {}};
  input.options.bound = ErrorBound::PerChannel({0.5f, 0.25f});
  const std::vector<float> decoded = {1.25f, 1.25f, 2, 2};
  const CodecErrors errors = CodecErrors::Of(input, decoded.data());
  EXPECT_EQ(errors.violations(), 0);
  EXPECT_EQ(errors.greatest, 1);
  EXPECT_DOUBLE_EQ(errors.root_mean_square, std::sqrt((0.25 + 1) / 4));
}

TEST(ContextEntropy, IsThatOfTheCodesGivenTheirNeighbours) {
  // One channel: within a row codes alternate, so that the left neighbour tells everything but the
  // first column, which the upper neighbour tells but in the first row.
  CodecInput alternating{"layer", {1, 4, 4, 1}, {}, {}};
  for (int i = 0; i < 16; ++i) alternating.data.push_back(i % 2 == 0 ? 1.0f : 0.0f);
  alternating.options.bound = ErrorBound::Uniform(0.5f);
  alternating.options.mask = true;
  EXPECT_EQ(KindOf(alternating), "relu");
  EXPECT_DOUBLE_EQ(ContextEntropyBytes(alternating), 0);

  // 256 equally frequent codes without structure: a byte each, but for what contexts seem to tell.
  CodecInput noise{"layer", {256, 1, 1, 1}, {}, {}};
  for (int i = 0; i < 256; ++i) noise.data.push_back(static_cast<float>(i));
  noise.options.bound = ErrorBound::Uniform(0.5f);
  EXPECT_DOUBLE_EQ(ContextEntropyBytes(noise), 256);
}

TEST(MeasureCodecs, BoundedCodecsKeepTheirBoundOnEverySample) {
  for (const CodecInputSource& source : SampleInputs()) {
    const CodecInput input = source();
    for (const CodecMeasurement& m : MeasureCodecs(input, CodecNames(), {2, 1})) {
      EXPECT_EQ(m.raw_bytes, input.bytes());
      EXPECT_GT(m.stored_bytes, 0) << m.codec;
      EXPECT_GT(m.one_thread.encode, 0) << m.codec;
      EXPECT_GT(m.all_threads.value().decode, 0) << m.codec;
      if (m.bounded) {
        EXPECT_EQ(m.errors.violations(), 0) << m.codec << ", " << m.layer;
      }
      if (m.codec == "raw") {
        EXPECT_EQ(m.errors.greatest, 0);
      }
      if (m.codec == "quant2" && input.shape.c > 10) {
        EXPECT_GT(m.errors.over_bound, 0) << m.layer;
      }
    }
  }
}

// The CPU's pool in place of a GPU's: what is stored and comes back is the same.
TEST(MeasureOnDevice, FindsWhatThePoolOfTheDeviceStoresAndChanges) {
  const auto backend = NewBackend({});
  for (const CodecInputSource& source : SampleInputs()) {
    const CodecInput input = source();
    const std::vector<CodecMeasurement> expected = MeasureCodecs(input, GpuCodecNames(), {1, 1});
    const std::vector<CodecMeasurement> measured =
        MeasureOnDevice(*backend, input, GpuCodecNames(), 2);
    ASSERT_EQ(measured.size(), 3u);
    for (size_t i = 0; i < measured.size(); ++i) {
      const CodecMeasurement &m = measured[i], &e = expected[i];
      SCOPED_TRACE(m.codec + ", " + m.layer);
      EXPECT_EQ(m.codec, e.codec);
      EXPECT_EQ(m.kind, e.kind);
      EXPECT_EQ(m.stored_bytes, e.stored_bytes);
      EXPECT_EQ(m.entropy_bytes, e.entropy_bytes);
      EXPECT_EQ(m.errors.greatest, e.errors.greatest);
      EXPECT_EQ(m.errors.violations(), 0);
      EXPECT_GT(m.one_thread.encode, 0);
      EXPECT_GT(m.one_thread.learn_and_encode, 0);
      EXPECT_GT(m.one_thread.decode, 0);
      EXPECT_FALSE(m.all_threads.has_value());
    }
  }
}

// A pool that changes what it is given.
class ForgetfulStore : public ActivationStore {
 public:
  StoredValue Put(int, const Tensor& value, const PutOptions&) override {
    StoredValue stored;
    stored.stored_bytes = value.bytes();
    return stored;
  }
  Tensor Get(int, int64_t, int64_t, const Tensor& scratch) override {
    std::fill(scratch.data<float>(), scratch.data<float>() + scratch.elements(), 0.0f);
    return scratch;
  }
  void Release(int) override {}
  int64_t stored_bytes() const override { return 0; }
  int64_t offloaded_bytes() const override { return 0; }
};

class ForgetfulBackend : public cpu::CpuBackend {
 public:
  std::unique_ptr<ActivationStore> NewActivationStore(const StoreOptions&) override {
    return std::make_unique<ForgetfulStore>();
  }
};

TEST(MeasureOnDevice, CountsWhatDidNotComeBack) {
  ForgetfulBackend backend;
  const CodecInput input = Masked({0, 1, 2, 3}, 0.5f);
  EXPECT_EQ(MeasureOnDevice(backend, input, {"fast"}, 1).at(0).errors.violations(), 6);
}

CodecMeasurement Row(const std::string& codec, const std::string& kind, int64_t raw,
                     int64_t stored) {
  CodecMeasurement m;
  m.layer = "conv1";
  m.codec = codec;
  m.kind = kind;
  m.raw_bytes = raw;
  m.stored_bytes = stored;
  m.entropy_bytes = static_cast<double>(stored);
  m.one_thread = {static_cast<double>(raw) * 1e-9, static_cast<double>(raw) * 2e-9};
  m.all_threads = m.one_thread;
  m.errors.over_bound = 1;
  return m;
}

TEST(CodecReport, TotalsAreOfBytesAndTimesByKind) {
  const std::vector<CodecMeasurement> rows = {Row("fast", "relu", 1000, 100),
                                              Row("fast", "norm", 9000, 1000),
                                              Row("dense", "relu", 1000, 50)};
  const std::vector<CodecTotal> totals = TotalsOf(rows);
  ASSERT_EQ(totals.size(), 5u) << "dense has no norm";
  EXPECT_EQ(totals[2].codec, "fast");
  EXPECT_EQ(totals[2].kind, "all");
  EXPECT_EQ(totals[2].values, 2);
  EXPECT_EQ(totals[2].violations, 2);
  EXPECT_DOUBLE_EQ(totals[2].ratio(), 10000.0 / 1100);
  const nlohmann::ordered_json json = ToJson(rows);
  EXPECT_EQ(json.at("layers").size(), 3u);
  const auto& total = json.at("totals").at(2);
  EXPECT_NEAR(total.at("gb_per_second").at("encode").get<double>(), 1, 1e-9);
  EXPECT_NEAR(total.at("gb_per_second").at("decode").get<double>(), 0.5, 1e-9);
  EXPECT_THAT(ToCsv(rows), ::testing::HasSubstr("\nconv1,relu,dense,1,1,1,1,1000,50,"));
}

TEST(CodecReport, LeavesOutThreadsWhereThereAreNone) {
  CodecMeasurement with = Row("fast", "relu", 1000, 100), without = with;
  without.all_threads.reset();
  EXPECT_TRUE(ToJson({with}).at("layers").at(0).contains("gb_per_second_all_threads"));
  EXPECT_THAT(LayersText({with}, 0), ::testing::HasSubstr("dec, all"));
  for (const char* list : {"layers", "totals"}) {
    const nlohmann::ordered_json row = ToJson({without}).at(list).at(0);
    EXPECT_FALSE(row.contains("gb_per_second_all_threads")) << list;
    EXPECT_NEAR(row.at("gb_per_second").at("decode").get<double>(), 0.5, 1e-9) << list;
  }
  for (const std::string& text : {LayersText({without}, 0), TotalsText(TotalsOf({without}), 0)}) {
    EXPECT_THAT(text, ::testing::HasSubstr("dec GB/s"));
    EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr(", all")));
  }
  EXPECT_THAT(ToCsv({without}), ::testing::HasSubstr(",1,0.5,,,"));
}

TEST(CodecReport, LeavesOutKindsThatACodecDoesNotHave) {
  for (const CodecTotal& total :
       TotalsOf({Row("fast", "relu", 8, 4), Row("dense", "norm", 8, 4)})) {
    EXPECT_GT(total.values, 0) << total.codec << ' ' << total.kind;
  }
}

}  // namespace
}  // namespace encke::cli
