// What a user writes into a config, and what he is told when it is wrong.
#include "engine/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace encke {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

std::string MessageOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    ConfigFile::Parse(text, "my.textproto", overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    return error.what();
  }
  return "no error";
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

TEST(ConfigErrors, UnknownFieldIsShownWithCaretAndNearestName) {
  EXPECT_EQ(MessageOf("training {\n  batch: 32\n  epocs: 3\n}\n"),
            "my.textproto:3:3: 'Training' has no field 'epocs'; did you mean 'epochs'?\n"
            "  3 |   epocs: 3\n"
            "    |   ^");
}

TEST(ConfigErrors, MisspeltEnumOffersTheNearestAndAllLegalValues) {
  const std::string what = MessageOf("data { kind: CIFER }");
  EXPECT_THAT(what, HasSubstr("my.textproto:1:14: 'CIFER' is not a value of 'kind'; did you mean "
                              "'CIFAR'? (legal: SYNTHETIC, IDX, CIFAR, FOLDER, LIST)"));
}

TEST(ConfigErrors, WrongTypeSaysWhatIsExpected) {
  EXPECT_THAT(MessageOf("training { batch: \"many\" }"),
              HasSubstr("my.textproto:1:19: 'batch' takes a whole number, not '\"many\"'"));
  EXPECT_THAT(MessageOf("optimizer { nesterov: 3 }"), HasSubstr("'nesterov' takes true or false"));
  EXPECT_THAT(MessageOf("name: resnet"), HasSubstr("'name' takes a text in quotes"));
  EXPECT_THAT(MessageOf("training { seed: -1 }"), HasSubstr("a whole number >= 0, not '-1'"));
}

TEST(ConfigErrors, PoliciesOfKindsOfValues) {
  EXPECT_THAT(MessageOf("activations { norm_inptu { codec: \"jpeg\" } }"),
              HasSubstr("'Activations' has no field 'norm_inptu'; did you mean 'norm_input'?"));
  EXPECT_THAT(MessageOf("activations { relu { keep: OFLOAD } }"),
              HasSubstr("'OFLOAD' is not a value of 'keep'; did you mean 'OFFLOAD'? "
                        "(legal: CODEC, OFFLOAD, RAW)"));
}

TEST(ConfigErrors, AllMistakesAreReportedInOrderOfTheFile) {
  const std::string what = MessageOf(
      "nam: \"x\"\n"
      "network { step { conv { out: 8 kernal: 3 } pool { kind: MAXIMUM } } }\n"
      "training { batch: x batch: 3 }\n"
      "optimiser { learning_rate: 1 }\n");
  for (const char* part :
       {"my.textproto:1:1: 'Config' has no field 'nam'; did you mean 'name'?",
        "my.textproto:2:32: 'Conv' has no field 'kernal'; did you mean 'kernel'?",
        "my.textproto:2:44: 'pool' does not go together with 'conv' in line 2",
        "my.textproto:2:57: 'MAXIMUM' is not a value of 'kind'",
        "my.textproto:3:19: 'batch' takes a whole number, not 'x'",
        "my.textproto:3:21: 'batch' is given twice, first in line 3",
        "my.textproto:4:1: 'Config' has no field 'optimiser'; did you mean 'optimizer'?"}) {
    EXPECT_THAT(what, HasSubstr(part));
  }
}

TEST(ConfigErrors, StructureMistakes) {
  EXPECT_THAT(MessageOf("training { batch 32 }"), HasSubstr("1:12: a ':' is missing after"));
  EXPECT_THAT(MessageOf("training { batch: 32\n"), HasSubstr("1:1: 'training' is never closed"));
  EXPECT_THAT(MessageOf("training { } }"), HasSubstr("1:14: this '}' closes nothing"));
  EXPECT_THAT(MessageOf("training: 3"), HasSubstr("'training' is a group of fields"));
  EXPECT_THAT(MessageOf("training { batch: { } }"), HasSubstr("'batch' takes one value"));
  EXPECT_THAT(MessageOf("name: \"x\ntraining { batch: 3 }"), HasSubstr("my.textproto:1:"));
  EXPECT_THAT(MessageOf("data { mean: [1, 2 }"), HasSubstr("']'"));
  for (const char* text :
       {"{", "}", "[", "a", ":", "a:", "a {", "base: [", "name < }", "<>", "\""}) {
    EXPECT_THAT(MessageOf(text), HasSubstr("my.textproto:1:")) << text;
  }
}

TEST(ConfigErrors, ListIsCutAtTwenty) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "nonsense: 1\n";
  EXPECT_THAT(MessageOf(text), EndsWith("\n... and 10 more mistakes"));
}

TEST(ConfigErrors, CaretFollowsTabs) {
  EXPECT_THAT(MessageOf("training {\n\tepocs: 3\n}"),
              HasSubstr("  2 |         epocs: 3\n    |         ^"));
}

TEST(ConfigMerge, ChildLaysFieldsOverBaseAndReplacesLists) {
  WriteFile("parent.textproto",
            "name: 'parent' training { batch: 32 seed: 7 } data { mean: [1, 2, 3] std: 4 }");
  const std::string child = WriteFile(
      "child.textproto", "base: 'parent.textproto'\ntraining { batch: 8 } data { mean: 5 }");
  const ConfigFile file = ConfigFile::Load(child);
  EXPECT_EQ(file.config().name(), "parent");
  EXPECT_EQ(file.config().training().batch(), 8);
  EXPECT_EQ(file.config().training().seed(), 7u);
  EXPECT_THAT(file.config().data().mean(), ::testing::ElementsAre(5));
  EXPECT_THAT(file.config().data().std(), ::testing::ElementsAre(4));
  EXPECT_THAT(file.Place("training.batch"), EndsWith("child.textproto:2:12"));
  EXPECT_THAT(file.Place("training.seed"), EndsWith("parent.textproto:1:37"));
  EXPECT_EQ(file.Place("data.mean[1]"), "");
  EXPECT_EQ(ConfigFile::Parse("data {\n mean: [1, 2] }", "x").Place("data.mean[1]"), "x:2:2");
  EXPECT_EQ(file.Place("training.epochs"), "");
}

TEST(ConfigMerge, CycleAndMissingBaseAreErrorsAtTheBaseLine) {
  WriteFile("a.textproto", "name: 'a'\nbase: 'b.textproto'");
  const std::string b = WriteFile("b.textproto", "base: 'a.textproto'");
  EXPECT_THROW(
      {
        try {
          ConfigFile::Load(b);
        } catch (const Error& error) {
          EXPECT_THAT(error.place(), EndsWith("a.textproto:2:1"));
          throw;
        }
      },
      Error);
  const std::string c = WriteFile("c.textproto", "base: 'aa.textproto'");
  try {
    ConfigFile::Load(c);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.place(), EndsWith("c.textproto:1:1"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean '" + ::testing::TempDir()));
  }
}

TEST(ConfigOverride, SetsValuesOfEveryType) {
  const ConfigFile file = ConfigFile::Parse(
      "network { step { conv { out: 8 } } } data { mean: [1, 2] }", "my.textproto",
      {"training.batch=12", "data.train=/tmp/a b", "data.mean=0.5, 0.25,0.125", "data.kind=IDX",
       "optimizer.nesterov=true", "network.step[0].conv.out=16", "name=\"x\"", "data.std="});
  EXPECT_EQ(file.config().training().batch(), 12);
  EXPECT_EQ(file.config().data().train(), "/tmp/a b");
  EXPECT_THAT(file.config().data().mean(), ::testing::ElementsAre(0.5f, 0.25f, 0.125f));
  EXPECT_EQ(file.config().data().kind(), config::Data::IDX);
  EXPECT_TRUE(file.config().optimizer().nesterov());
  EXPECT_EQ(file.config().network().step(0).conv().out(), 16);
  EXPECT_EQ(file.config().name(), "x");
  EXPECT_EQ(file.config().data().std_size(), 0);
  EXPECT_EQ(file.Place("training.batch"), "--set training.batch=12");
}

TEST(ConfigOverride, MistakesNameTheNearestField) {
  const std::string what = MessageOf(
      "", {"training.bach=3", "trainin.batch=3", "training.batch=x", "training=3", "data.kind=IDY",
           "network.step[2].conv.out=3", "batch", "training.batch.x=1", "base=x"});
  EXPECT_THAT(what, HasSubstr("--set training.bach=3: 'Training' has no field 'bach'; did you mean "
                              "'batch'?"));
  EXPECT_THAT(what, HasSubstr("did you mean 'training'?"));
  EXPECT_THAT(what, HasSubstr("--set training.batch=x: 'batch' takes a whole number, not 'x'"));
  EXPECT_THAT(what, HasSubstr("--set training=3: 'training' is a group of fields"));
  EXPECT_THAT(what, HasSubstr("did you mean 'IDX'?"));
  EXPECT_THAT(what, HasSubstr("there are 0 of 'step'"));
  EXPECT_THAT(what, HasSubstr("--set batch: an '=' is missing"));
  EXPECT_THAT(what, HasSubstr("'batch' is a value and has no fields"));
  EXPECT_THAT(what, HasSubstr("--set base=x: 'base' can be given in a file only"));
}

TEST(ConfigFileText, MergedTextLoadsAgainToTheSameConfig) {
  const ConfigFile file = ConfigFile::Parse("name: 'x' data { mean: [1, 2] kind: IDX }", "a", {});
  const ConfigFile again = ConfigFile::Parse(file.ToText(), "b");
  EXPECT_EQ(again.config().SerializeAsString(), file.config().SerializeAsString());
  EXPECT_THAT(file.ToText(), Not(HasSubstr("base")));
}

TEST(ConfigFileErrorAt, FallsBackToTheGroupAround) {
  const ConfigFile file = ConfigFile::Parse("network {\n  step { conv { } } }", "my.textproto");
  const Error error = file.ErrorAt("network.step[0].conv.out", "'out' is missing", "give it");
  EXPECT_STREQ(error.what(),
               "my.textproto:2:10: 'out' is missing\n  2 |   step { conv { } } }\n"
               "    |          ^\n  hint: give it");
}

}  // namespace
}  // namespace encke
