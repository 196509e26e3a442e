// Speed of the backend's primitives on the sizes of ResNet-18 (28x28, batch 64), ResNet-50 and
// VGG-16 (224x224, batch 8). FLOP/s counts a multiply-add of the plain sum as two, however it is
// computed; B/s counts each tensor once.
//
//   bazel run -c opt //tests/bench:backend_benchmark -- --benchmark_filter=Conv
//   OMP_NUM_THREADS sets the threads.
#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <string>

#include "engine/backend/backend.h"
#include "engine/core/rng.h"

namespace encke {
namespace {

Tensor Make(Backend& backend, const Shape& shape, DType dtype) {
  const Tensor tensor = Tensor::Empty(backend.allocator(), shape, dtype, MemoryCategory::TRANSIENT);
  if (dtype == DType::F32 || dtype == DType::BF16) {
    const Tensor values =
        Tensor::Empty(backend.allocator(), shape, DType::F32, MemoryCategory::TRANSIENT);
    Rng rng(1, RngStream::TEST);
    for (int64_t i = 0; i < shape.elements(); ++i)
      values.data<float>()[i] = static_cast<float>(rng.NextU32()) * 0x1p-31f - 1.0f;
    backend.Copy(values, tensor);
  }
  return tensor;
}

struct ConvCase {
  const char* name;
  int64_t n, c, size, k, kernel, stride, groups;
};

const ConvCase kConvs[] = {
    {"resnet18/stem", 64, 1, 28, 64, 3, 1, 1},
    {"resnet18/64", 64, 64, 28, 64, 3, 1, 1},
    {"resnet18/128s2", 64, 64, 28, 128, 3, 2, 1},
    {"resnet18/256", 64, 256, 7, 256, 3, 1, 1},
    {"resnet18/512", 64, 512, 4, 512, 3, 1, 1},
    {"resnet50/stem", 8, 3, 224, 64, 7, 2, 1},
    {"resnet50/64-256", 8, 64, 56, 256, 1, 1, 1},
    {"resnet50/256-512s2", 8, 256, 56, 512, 1, 2, 1},
    {"resnet50/1024-256", 8, 1024, 14, 256, 1, 1, 1},
    {"vgg/3", 8, 3, 224, 64, 3, 1, 1},
    {"vgg/64", 8, 64, 224, 64, 3, 1, 1},
    {"vgg/256", 8, 256, 56, 256, 3, 1, 1},
    {"vgg/512", 8, 512, 14, 512, 3, 1, 1},
    {"alexnet/groups", 8, 96, 27, 256, 5, 1, 2},
};

void Conv(benchmark::State& state, const ConvCase& c, DType dtype, int kind) {
  const auto backend = NewBackend(Device());
  if (!backend->Supports(dtype)) return state.SkipWithError("not supported");
  const int64_t pad = c.kernel / 2, out = (c.size + 2 * pad - c.kernel) / c.stride + 1;
  const ConvOptions o = {c.kernel, c.kernel, c.stride, c.stride, 1,       1,
                         pad,      pad,      pad,      pad,      c.groups};
  const Tensor x = Make(*backend, {c.n, c.size, c.size, c.c}, dtype);
  const Tensor y = Make(*backend, {c.n, out, out, c.k}, dtype);
  const Tensor w = Make(*backend, {c.k, c.kernel, c.kernel, c.c / c.groups}, DType::F32);
  const auto run = [&] {
    if (kind == 0) backend->ConvForward(o, x, w, nullptr, y);
    if (kind == 1) backend->ConvBackwardData(o, y, w, x);
    if (kind == 2) backend->ConvBackwardFilter(o, x, y, w, nullptr, false);
  };
  run();
  for (auto _ : state) run();
  const double flops = 2.0 * y.elements() * (c.c / c.groups) * c.kernel * c.kernel;
  state.counters["FLOP/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

using Primitive = std::function<void(Backend&, const Tensor& x, const Tensor& y)>;

// A primitive that reads or writes `passes` tensors of the shape.
void Memory(benchmark::State& state, const Shape& shape, DType dtype, double passes,
            const Primitive& primitive) {
  const auto backend = NewBackend(Device());
  const Tensor x = Make(*backend, shape, dtype), y = Make(*backend, shape, dtype);
  primitive(*backend, x, y);
  for (auto _ : state) primitive(*backend, x, y);
  state.counters["B/s"] =
      benchmark::Counter(passes * x.bytes(), benchmark::Counter::kIsIterationInvariantRate);
}

void RegisterMemory(const std::string& name, double passes, const Primitive& primitive) {
  const Shape shapes[] = {{64, 28, 28, 64}, {8, 224, 224, 64}, {8, 14, 14, 1024}, {64, 32, 32, 16}};
  for (const Shape& shape : shapes) {
    for (DType dtype : {DType::F32, DType::BF16}) {
      benchmark::RegisterBenchmark(
          (name + "/" + shape.ToString() + "/" + NameOf(dtype)).c_str(),
          [=](benchmark::State& state) { Memory(state, shape, dtype, passes, primitive); })
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
}

Shape Half(const Shape& s) { return {s.n, s.h / 2, s.w / 2, s.c}; }

void RegisterConvs() {
  const char* kinds[] = {"Forward", "BackwardData", "BackwardFilter"};
  for (const ConvCase& c : kConvs) {
    for (int kind = 0; kind < 3; ++kind) {
      if (kind == 1 && c.c <= 3) continue;  // nobody asks for an image's gradient
      for (DType dtype : {DType::F32, DType::BF16}) {
        benchmark::RegisterBenchmark(
            StrCat("Conv", kinds[kind], "/", c.name, "/", NameOf(dtype)).c_str(),
            [=](benchmark::State& state) { Conv(state, c, dtype, kind); })
            ->Unit(benchmark::kMicrosecond)
            ->UseRealTime();
      }
    }
  }
}

void RegisterMemoryBound() {
  RegisterMemory("Copy", 2, [](Backend& b, const Tensor& x, const Tensor& y) { b.Copy(x, y); });
  RegisterMemory("Add", 3, [](Backend& b, const Tensor& x, const Tensor& y) { b.Add(x, y, y); });
  RegisterMemory("ReluForward", 2,
                 [](Backend& b, const Tensor& x, const Tensor& y) { b.ReluForward(x, y); });
  RegisterMemory("ReluBackward", 3,
                 [](Backend& b, const Tensor& x, const Tensor& y) { b.ReluBackward(x, y, y); });
  RegisterMemory("Dropout", 2, [](Backend& b, const Tensor& x, const Tensor& y) {
    b.Dropout({0.5f, 1, 2}, x, y);
  });
  RegisterMemory("SumOfSquares", 1, [](Backend& b, const Tensor& x, const Tensor&) {
    benchmark::DoNotOptimize(b.SumOfSquares(x));
  });
  RegisterMemory("AllFinite", 1, [](Backend& b, const Tensor& x, const Tensor&) {
    benchmark::DoNotOptimize(b.AllFinite(x));
  });
  RegisterMemory("Lrn", 2,
                 [](Backend& b, const Tensor& x, const Tensor& y) { b.LrnForward({}, x, y); });
  RegisterMemory("LrnBackward", 3,
                 [](Backend& b, const Tensor& x, const Tensor& y) { b.LrnBackward({}, x, x, y); });
}

// Primitives with tensors beside x and y.
void RegisterStateful() {
  RegisterMemory("BatchNormForward", 3, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor v = Make(b, Shape::Vector(x.shape().c), DType::F32);
    const Tensor moments = Make(b, Shape::Vector(3 * x.shape().c), DType::F32);
    b.BatchNormMoments(x, moments, false);
    b.BatchNormApply({v, v, v, v, true}, x, y);
  });
  RegisterMemory("BatchNormBackward", 5, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor v = Make(b, Shape::Vector(x.shape().c), DType::F32);
    const Tensor sums = Make(b, Shape::Vector(2 * x.shape().c), DType::F32);
    b.BatchNormBackwardSums({v, v, v, v, true}, x, Tensor(), y, sums, false);
    b.BatchNormBackwardApply({v, v, v, v, true}, x, Tensor(), sums, 1, y, y);
  });
  RegisterMemory("MaxPool2x2", 1.25, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor out(y), index = Make(b, Half(x.shape()), DType::U8);
    b.MaxPoolForward({2, 2, 2, 2}, x, out.Slice(0, x.shape().n / 4).Reshape(Half(x.shape())),
                     index);
  });
  RegisterMemory("MaxPool3x3s2", 1.25, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor index = Make(b, Half(x.shape()), DType::U8);
    b.MaxPoolForward({3, 3, 2, 2, 1, 1}, x, y.Slice(0, x.shape().n / 4).Reshape(Half(x.shape())),
                     index);
  });
  RegisterMemory("MaxPool3x3s2Backward", 1.25, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor index = Make(b, Half(x.shape()), DType::U8);
    b.MaxPoolBackward({3, 3, 2, 2, 1, 1}, index,
                      y.Slice(0, x.shape().n / 4).Reshape(Half(x.shape())), x);
  });
  RegisterMemory("MaxPool2x2Backward", 1.25, [](Backend& b, const Tensor& x, const Tensor& y) {
    const Tensor index = Make(b, Half(x.shape()), DType::U8);
    b.MaxPoolBackward({2, 2, 2, 2}, index, y.Slice(0, x.shape().n / 4).Reshape(Half(x.shape())), x);
  });
  RegisterMemory("PackMask", 1, [](Backend& b, const Tensor& x, const Tensor&) {
    b.PackMask(x, Make(b, Shape::Vector((x.elements() + 7) / 8), DType::U8));
  });
  RegisterMemory("ReluBackwardFromMask", 2, [](Backend& b, const Tensor& x, const Tensor& y) {
    b.ReluBackwardFromMask(Make(b, Shape::Vector((x.elements() + 7) / 8), DType::U8), x, y);
  });
  RegisterMemory("SgdStep", 5, [](Backend& b, const Tensor& x, const Tensor& y) {
    if (x.dtype() == DType::F32) b.SgdStep({}, x, y, y);
  });
}

struct PixelsCase {
  Shape x;
  int64_t channels;  // by which pixels are told apart
};

// A probe's of some of ResNet-50's values, batch 128.
const PixelsCase kPixels[] = {{{128, 56, 56, 64}, 1},
                              {{128, 28, 28, 128}, 2},
                              {{128, 14, 14, 256}, 10},
                              {{128, 7, 7, 512}, 41}};

// Of which an eighth repeats one another.
Tensor MakePixels(Backend& backend, const Shape& shape) {
  const Tensor x = Make(backend, shape, DType::F32);
  backend.Fill(x.Slice(0, shape.n / 8), 0.25f);
  return x;
}

void FindPixels(benchmark::State& state, const PixelsCase& c) {
  const auto backend = NewBackend(Device());
  const Tensor x = MakePixels(*backend, c.x);
  const Tensor number = Make(*backend, Shape::Vector(8), DType::U8);
  for (auto _ : state) backend->FindRepeatedPixel(x, c.channels, number);
}

// Both masks.
void MarkPixels(benchmark::State& state, const PixelsCase& c) {
  const auto backend = NewBackend(Device());
  const Tensor x = MakePixels(*backend, c.x);
  const Tensor number = Make(*backend, Shape::Vector(8), DType::U8);
  const Tensor image = Make(*backend, {c.x.n, c.x.h, c.x.w, 1}, DType::F32);
  backend->FindRepeatedPixel(x, c.channels, number);
  for (auto _ : state) {
    for (bool repeated : {true, false}) {
      backend->MarkPixels(x, c.channels, number, repeated, image);
    }
  }
}

void RegisterPixels() {
  for (const PixelsCase& c : kPixels) {
    const auto add = [&](const char* name, void (*run)(benchmark::State&, const PixelsCase&)) {
      benchmark::RegisterBenchmark((name + c.x.ToString()).c_str(), run, c)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    };
    add("FindPixels/", FindPixels);
    add("MarkPixels/", MarkPixels);
  }
}

}  // namespace
}  // namespace encke

int main(int argc, char** argv) {
  encke::RegisterConvs();
  encke::RegisterMemoryBound();
  encke::RegisterStateful();
  encke::RegisterPixels();
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("backend", encke::NewBackend(encke::Device())->name());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
