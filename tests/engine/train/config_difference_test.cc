#include "engine/train/config_difference.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr char kSaved[] =
    "network { classes: 10 step { conv { out: 8 kernel: 3 } } } training { batch: 64 epochs: 2 }";

config::Config Now() {
  config::Config now;
  now.mutable_network()->set_classes(10);
  config::Conv* conv = now.mutable_network()->add_step()->mutable_conv();
  conv->set_out(8);
  conv->add_kernel(3);
  now.mutable_training()->set_batch(64);
  now.mutable_training()->set_epochs(2);
  return now;
}

// What the check says; "" when it passes.
std::string Complaint(const config::Config& now, bool network_only = false) {
  try {
    CheckSameConfig(kSaved, now, "x.safetensors", network_only);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    return error.message();
  }
}

TEST(ConfigDifferenceTest, EqualConfigsPass) {
  config::Config now = Now();
  EXPECT_EQ(Complaint(now), "");
  now.mutable_training()->set_seed(1);
  EXPECT_EQ(Complaint(now), "") << "a default written out is no change";
}

TEST(ConfigDifferenceTest, NamesFieldAndBothValues) {
  config::Config now = Now();
  now.mutable_training()->set_batch(32);
  now.mutable_network()->mutable_step(0)->mutable_conv()->set_out(16);
  const std::string complaint = Complaint(now);
  EXPECT_NE(complaint.find("training.batch: 64 -> 32"), std::string::npos) << complaint;
  EXPECT_NE(complaint.find("network.step[0].conv.out: 8 -> 16"), std::string::npos) << complaint;
}

TEST(ConfigDifferenceTest, WhereARunEndsAndHowItIsWatchedMayChange) {
  config::Config now = Now();
  now.mutable_training()->set_epochs(4);
  now.mutable_training()->set_output("elsewhere");
  now.mutable_activations()->add_audit_at(100);
  EXPECT_EQ(Complaint(now), "");
}

TEST(ConfigDifferenceTest, EvaluationAsksForTheNetworkAlone) {
  config::Config now = Now();
  now.mutable_training()->set_batch(32);
  EXPECT_EQ(Complaint(now, /*network_only=*/true), "");
  now.mutable_network()->set_classes(11);
  EXPECT_NE(Complaint(now, /*network_only=*/true).find("network.classes"), std::string::npos);
}

TEST(ConfigDifferenceTest, ADamagedTextIsADataError) {
  try {
    CheckSameConfig("network {", Now(), "x.safetensors", false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
  }
}

}  // namespace
}  // namespace encke
