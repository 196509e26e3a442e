// What dataset.cc chooses from: one function for each kind of data set. The options have been
// checked, and a path that they name for the split exists.
#pragma once

#include <memory>
#include <string>

#include "data/dataset.h"

namespace encke {

std::unique_ptr<Dataset> OpenSynthetic(const DatasetOptions& options, Split split);
std::unique_ptr<Dataset> OpenIdx(const DatasetOptions& options, Split split);
std::unique_ptr<Dataset> OpenCifar(const DatasetOptions& options, Split split);
std::unique_ptr<Dataset> OpenFolder(const DatasetOptions& options, Split split);
std::unique_ptr<Dataset> OpenList(const DatasetOptions& options, Split split);

// `limit` records of `dataset`, chosen by the seed, in the order that they have there.
std::unique_ptr<Dataset> Subset(std::unique_ptr<Dataset> dataset, int64_t limit, uint64_t seed);

// Which package or site provides data of this kind; the hint of errors about missing files.
std::string HowToGet(DatasetKind kind);

// The path in the options that a split is read from: `test`, or `train` where the format holds
// both.
const std::string& PathOf(const DatasetOptions& options, Split split);

// Whether the record at `path` belongs to the part held out for testing.
bool IsHeldOut(const std::string& path, double fraction);

// Error(DATA) at `place` unless 0 <= label < classes.
void CheckLabel(int64_t label, int64_t classes, const std::string& place);

}  // namespace encke
