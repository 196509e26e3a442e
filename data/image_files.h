// A data set with one image file for each record.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/file_set.h"

namespace encke {

struct ImageRecord {
  size_t file;  // in the FileSet
  int label;
};

class ImageFiles : public Dataset {
 public:
  ImageFiles(std::unique_ptr<FileSet> files, std::vector<ImageRecord> records, int classes,
             std::vector<std::string> class_names, int64_t channels);

  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  int classes() const override { return classes_; }
  std::vector<std::string> class_names() const override { return class_names_; }
  int label(int64_t index) const override { return records_[static_cast<size_t>(index)].label; }
  Image Read(int64_t index) const override;

 private:
  std::unique_ptr<FileSet> files_;
  std::vector<ImageRecord> records_;
  int classes_;
  std::vector<std::string> class_names_;
  int64_t channels_;
};

}  // namespace encke
